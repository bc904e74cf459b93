"""Figures as one self-contained page that works offline, saying which run they show and how to draw them again."""

import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lab.figures.theme import FONT, MONO, colours
from lab.probe import Probe

CONFIG = {"displaylogo": False, "responsive": True, "toImageButtonOptions": {"format": "svg"}}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0 auto; max-width: 1100px; padding: 24px; background: {page}; color: {text}; font: 15px/1.5 {font}; }}
h1 {{ font-size: 22px; margin: 0 0 4px; }}
p {{ color: {muted}; margin: 0 0 20px; }}
pre {{ background: {grid}; border-radius: 6px; padding: 12px 16px; overflow-x: auto; font: 13px/1.5 {mono}; }}
figure {{ margin: 0 0 28px; }}
</style>
<script>{plotly}</script>
</head>
<body>
<h1>{title}</h1>
<p>{about}</p>
{figures}
{snippet}
</body>
</html>
"""


def snippet_of(probe: Probe, figures: Sequence[go.Figure]) -> str:
    """Lines of Python that take the same probe from the run and name the figures to draw."""
    run = probe.run or "runs/NAME"
    step = "" if probe.step is None else f"step={probe.step}"
    notes = [figure["layout"]["meta"] for figure in figures]
    names = dict.fromkeys(note["figure"] for note in notes if note)
    lines = [
        "import lab, strawberry",
        "from lab import figures",
        "",
        f"run = strawberry.open_run({run!r})",
        f"probe = lab.probe(run.model({step}), run.tokenizer, {probe.text!r}{', ' + step if step else ''})",
        *(f"figures.{name}(probe)" for name in names),
    ]
    return "\n".join(lines)


def to_html(
    figures: Sequence[go.Figure],
    path: str | os.PathLike[str],
    *,
    title: str = "Strawberry Lab",
    probe: Probe | None = None,
    snippet: str | None = None,
    theme: str | None = None,
) -> Path:
    """Write one HTML file with the figures and plotly.js once; returns its path.

    With a probe the page names its run, step and seed, and shows a snippet that draws the figures again. The page is
    light or dark as its first figure is, unless `theme` says otherwise.
    """
    note: Any = figures[0]["layout"]["meta"] if figures else None
    c = colours(theme or (note["theme"] if note else "light"))
    if snippet is None and probe is not None:
        snippet = snippet_of(probe, figures)
    parts = [
        f"<figure>{figure.to_html(include_plotlyjs=False, full_html=False, config=CONFIG)}</figure>"
        for figure in figures
    ]
    page = _PAGE.format(
        title=html.escape(title),
        about=html.escape(probe.label if probe is not None else ""),
        page=c.page,
        text=c.text,
        muted=c.muted,
        grid=c.grid,
        font=FONT,
        mono=MONO,
        plotly=get_plotlyjs(),
        figures="\n".join(parts),
        snippet=f"<p>Drawn with</p><pre>{html.escape(snippet)}</pre>" if snippet else "",
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path

"""Figures as one self-contained page that works offline, saying which run they show and how to draw them again."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from lab.figures.page import Front, Plate, Section, write
from lab.figures.theme import colours
from lab.probe import Probe


def source_of(probe: Probe) -> list[str]:
    """Lines of Python that take the same probe from its run again, as `probe`."""
    run = probe.run or "runs/NAME"
    step = "" if probe.step is None else f"step={probe.step}"
    return [
        "import lab, strawberry",
        "from lab import figures",
        "",
        f"run = strawberry.open_run({run!r})",
        f"probe = lab.probe(run.model({step}), run.tokenizer, {probe.text!r}{', ' + step if step else ''})",
    ]


def snippet_of(probe: Probe, figures: Sequence[go.Figure]) -> str:
    """Lines of Python that take the same probe from the run and name the figures to draw."""
    notes = [figure["layout"]["meta"] for figure in figures]
    names = dict.fromkeys(note["figure"] for note in notes if note)
    return "\n".join([*source_of(probe), *(f"figures.{name}(probe)" for name in names)])


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
    light or dark as its first figure is, unless `theme` says otherwise. `lab.report` writes more: all figures that suit
    a probe, light or dark as the reader prefers, with their numbers.
    """
    note: Any = figures[0]["layout"]["meta"] if figures else None
    chosen = str(theme or (note["theme"] if note else "light"))
    colours(chosen)
    if snippet is None and probe is not None:
        snippet = snippet_of(probe, figures)
    front = Front(title, about=probe.label if probe is not None else "", code=snippet or "")
    return write(path, front, [Section("", [Plate(figure) for figure in figures])], theme=chosen)

"""A self-contained page of figures that works offline, light or dark as its reader prefers."""

import base64
import gzip
import html
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lab.figures.digest import digest
from lab.figures.theme import FONT, MONO, colours

HERE = Path(__file__).parent
WITHOUT = '<noscript><p class="quiet">This figure is drawn by a script, which this reader does not run.</p></noscript>'
Change = list[Any]


@dataclass(frozen=True)
class Plate:
    """A figure, the same drawn dark, a sentence about it in Markdown's bold, code that redraws it, and its numbers.

    still: the figure as SVG, which is there without any script; its styles must not reach beyond it. narrow: the figure
    as it is drawn where there is no room for its usual width. What is missing is left out; without ``dark`` the figure
    looks the same in the dark.
    """

    figure: go.Figure
    dark: go.Figure | None = None
    says: str = ""
    code: str = ""
    numbers: pd.DataFrame | None = None
    still: str = ""
    narrow: go.Figure | None = None


@dataclass(frozen=True)
class Section:
    """Figures under a heading; above them what is said, tables, and code, where there are any.

    ``says`` is in Markdown's bold and italics, with blank lines between paragraphs and lists of lines that begin "- ".
    """

    heading: str
    plates: Sequence[Plate] = ()
    says: str = ""
    tables: Sequence[pd.DataFrame] = ()
    code: str = ""


@dataclass(frozen=True)
class Front:
    """What stands above the figures: title, what it comes to, a line, facts by name, a warning, code, and more, folded.

    ``answer`` is written as ``says`` of a :class:`Section`.
    """

    title: str
    answer: str = ""
    about: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    alarm: str = ""
    code: str = ""
    folded: Mapping[str, str | pd.DataFrame] = field(default_factory=dict)


def write(path: str | os.PathLike[str], front: Front, sections: Sequence[Section], *, theme: str | None = None) -> Path:
    """Write the page, with plotly.js in it once; returns its path. `theme` fixes what else the reader's system says."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(_page(front, sections, theme)), encoding="utf-8")
    return target


def changes(light: Any, dark: Any, path: tuple[str | int, ...] = ()) -> list[Change]:
    """What must change in one JSON value to make it the other: [path, new value], or [path] to remove."""
    if isinstance(light, dict) and isinstance(dark, dict):
        found = [[[*path, key]] for key in light.keys() - dark.keys()]
        found += [[[*path, key], dark[key]] for key in dark.keys() - light.keys()]
        shared = [key for key in light if key in dark]
        return found + [change for key in shared for change in changes(light[key], dark[key], (*path, key))]
    if isinstance(light, list) and isinstance(dark, list) and len(light) == len(dark):
        pairs = enumerate(zip(light, dark, strict=True))
        return [change for place, (old, new) in pairs for change in changes(old, new, (*path, place))]
    return [] if light == dark else [[list(path), dark]]


def _page(front: Front, sections: Sequence[Section], theme: str | None) -> Iterator[str]:
    fixed = f' data-theme="{theme}"' if theme else ""
    yield f'<!doctype html>\n<html lang="en"{fixed}>\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>{html.escape(front.title)}</title>\n<style>{_style()}</style>\n"
    yield f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<header>\n<h1>{html.escape(front.title)}</h1>\n"
    if front.answer:
        yield '<div class="answer">'
        yield from map(_prose, front.answer.split("\n\n"))
        yield "</div>\n"
    yield f'<p class="about">{html.escape(front.about)}</p>\n'
    if front.alarm:
        yield f'<p class="alarm">{html.escape(front.alarm)}</p>\n'
    if front.facts:
        facts = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(fact)}</dd>" for name, fact in front.facts.items())
        yield f"<dl>{''.join(facts)}</dl>\n"
    for name, value in front.folded.items():
        yield _folded(name, _table(value) if isinstance(value, pd.DataFrame) else _text(value))
    named = [section for section in sections if section.heading]
    if len(named) > 1:
        links = (f'<a href="#{_slug(each.heading)}">{html.escape(each.heading)}</a>' for each in named)
        yield f'<nav aria-label="Sections">{"".join(links)}</nav>\n'
    if front.code:
        yield f"<p>Drawn with</p><pre>{html.escape(front.code)}</pre>\n"
    yield "</header>\n<main>\n"
    number = 0
    for section in sections:
        yield f'<section id="{_slug(section.heading)}">\n' if section.heading else "<section>\n"
        yield f"<h2>{html.escape(section.heading)}</h2>\n" if section.heading else ""
        yield from map(_prose, filter(None, section.says.split("\n\n")))
        yield from map(_table, section.tables)
        yield f"<pre>{html.escape(section.code)}</pre>\n" if section.code else ""
        for plate in section.plates:
            number += 1
            yield _figure(plate, number)
        yield "</section>\n"
    script = (HERE / "page.js").read_text(encoding="utf-8")
    yield f'</main>\n<script type="module">\n{script}</script>\n</body>\n</html>\n'


def _figure(plate: Plate, number: int) -> str:
    light = json.loads(str(plate.figure.to_json()))
    dark = light if plate.dark is None else json.loads(str(plate.dark.to_json()))
    layout = light["layout"]
    # Markup in a token must not end the script.
    slim = [] if plate.narrow is None else changes(light, json.loads(str(plate.narrow.to_json())))
    told = json.dumps({"figure": light, "dark": changes(light, dark), "narrow": slim}).replace("<", "\\u003c")
    title = re.sub(r"<[^>]*>", " ", layout.get("title", {}).get("text", "")) or f"Figure {number}"
    name = f"{(layout.get('meta') or {}).get('figure', 'figure')}-{number}"
    parts = [f"<p>{_marked(plate.says)}</p>\n"] if plate.says else []
    parts.append(
        f'<div class="frame"><div class="plotly-graph-div{" slim" if slim else ""}" id="{name}" role="img" '
        f'aria-label="{html.escape(title)}" style="min-height: {layout.get("height", 450)}px">'
        f"{plate.still or WITHOUT}</div>"
        f'<script type="application/json">{told}</script></div>\n'
    )
    if plate.numbers is not None:
        brief, about = digest(plate.numbers)
        packed = base64.b64encode(gzip.compress(_csv(plate.numbers).encode(), mtime=0)).decode()
        button = f'<button data-csv="{packed}" data-name="{name}">Save all {len(plate.numbers):,} lines as CSV</button>'
        words = f'<p class="quiet">{html.escape(about)}</p>' if about else ""
        parts.append(_folded("Numbers", f"{words}{_table(brief)}{button}"))
    if plate.code:
        parts.append(_folded("The code that redraws it", f"<pre>{html.escape(plate.code)}</pre>"))
    return f"<figure>\n{''.join(parts)}</figure>\n"


def _style() -> str:
    style = (HERE / "page.css").read_text(encoding="utf-8").replace("FONT", FONT).replace("MONO", MONO)
    for word, theme in (("LIGHT", "light"), ("DARK", "dark")):
        c = colours(theme)
        names = {"page": c.page, "text": c.text, "muted": c.muted, "grid": c.grid, "accent": c.accent, "alarm": c.alarm}
        names["raised"] = "#f5f6f8" if theme == "light" else c.hover
        style = style.replace(word, "; ".join(f"--{name}: {colour}" for name, colour in names.items()))
    return style


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, float_format="%.6g"))


def _table(table: pd.DataFrame) -> str:
    made = table.to_html(index=False, border=0, float_format=lambda value: f"{value:.4g}", na_rep="–", justify="right")
    # Long names, such as those of tasks with their arguments, may break where they are joined; numbers may not.
    made = re.sub(r"(?<=<t[hd]>)[^<]*", lambda entry: re.sub(r"([:=](?=\S)|,(?=[a-z]))", r"\1<wbr>", entry[0]), made)
    return f'<div class="wide"><div class="numbers" tabindex="0">{made}</div></div>\n'


def _folded(name: str, body: str) -> str:
    return f"<details><summary>{html.escape(name)}</summary>{body}</details>\n"


def _text(text: str) -> str:
    return f'<pre class="text">{html.escape(text)}</pre>'


def _prose(block: str) -> str:
    """A paragraph, or a list."""
    lines = block.strip().splitlines()
    if not all(line.startswith("- ") for line in lines):
        return f"<p>{_marked(block.strip())}</p>\n"
    return f"<ul>{''.join(f'<li>{_marked(line[2:])}</li>' for line in lines)}</ul>\n"


def _marked(text: str) -> str:
    """Escaped, with **bold** and *italics*."""
    bold = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))
    return re.sub(r"\*(.+?)\*", r"<em>\1</em>", bold)


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")

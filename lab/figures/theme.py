"""One visual language, light and dark: colours stand for meanings, scales read without red-green vision."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from strawberry.errors import StrawberryError

Theme = Literal["light", "dark"]
FONT = "Inter, 'Segoe UI', system-ui, -apple-system, 'Helvetica Neue', Arial, sans-serif"
MONO = "'JetBrains Mono', 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class FigureError(StrawberryError):
    """A figure was asked for something that it cannot draw."""


@dataclass(frozen=True)
class Colours:
    """What each colour means. Scales run from the page's background, so that nothing looks like nothing."""

    page: str
    text: str
    muted: str
    grid: str
    hover: str
    wc: str
    wt: str
    train: str
    validation: str
    accent: str
    alarm: str
    experts: tuple[str, ...]
    diverging: tuple[str, ...]
    reading: tuple[str, ...]
    routing: tuple[str, ...]
    making: tuple[str, ...]
    leaking: tuple[str, ...]


# Qualitative colours are Okabe and Ito's (2008), darkened for white and lightened for black.
_LIGHT = Colours(
    page="#ffffff",
    text="#1f2328",
    muted="#6a737d",
    grid="#e6e8eb",
    hover="#ffffff",
    wc="#c92a4b",
    wt="#1f6fb2",
    train="#c92a4b",
    validation="#1f6fb2",
    accent="#c92a4b",
    alarm="#c2410c",
    experts=("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#56b4e9", "#7a5230", "#555b66"),
    diverging=("#0b4f8a", "#4a90c8", "#b3d1e8", "#ffffff", "#f6bfa9", "#d9603f", "#8f1d14"),
    reading=("#ffffff", "#fbd9d3", "#f29a9a", "#d7496a", "#9a1b52", "#4b0b3a"),
    routing=("#ffffff", "#d5ecd9", "#8fcaa4", "#3f9b78", "#12695c", "#063b3f"),
    making=("#ffffff", "#d6e4f2", "#9bbfe0", "#4f8dc4", "#1c5a98", "#0a2f5c"),
    leaking=("#ffffff", "#fdd49e", "#fc8d59", "#d7301f", "#7f0000"),
)
_DARK = Colours(
    page="#0e1117",
    text="#e8eaed",
    muted="#9aa4b2",
    grid="#2a303a",
    hover="#1b212b",
    wc="#ff7088",
    wt="#6cb6ff",
    train="#ff7088",
    validation="#6cb6ff",
    accent="#ff7088",
    alarm="#ff9a57",
    experts=("#56b4e9", "#f0883e", "#2ec4a0", "#d58fd0", "#e6c229", "#a9d6ff", "#c9a27e", "#aab2bf"),
    diverging=("#a9d8ff", "#4c9fe0", "#1d4e7c", "#0e1117", "#7a3323", "#e5714f", "#ffcdb2"),
    reading=("#0e1117", "#3a1730", "#7d1f4f", "#c8405f", "#f58f7c", "#ffe3c9"),
    routing=("#0e1117", "#10302f", "#175a52", "#2b917a", "#73cba0", "#defbe2"),
    making=("#0e1117", "#132a45", "#1f4f83", "#3a82c4", "#84bbec", "#e0f0ff"),
    leaking=("#0e1117", "#4a1a0c", "#a6330f", "#f57b1d", "#ffe6a3"),
)


def colours(theme: str) -> Colours:
    """The colours of "light" or "dark"; FigureError for another name."""
    if theme not in ("light", "dark"):
        raise FigureError(f"theme must be light or dark; got {theme!r}")
    return _LIGHT if theme == "light" else _DARK


def scale(stops: tuple[str, ...], *, gamma: float = 1.0, middle: float = 0.0) -> list[list[float | str]]:
    """Stops as a plotly colour scale; gamma 2 gives small values half of the colours (colour grows as √value).

    middle: where on the scale the value 0 lies, 0 or 0.5; from there colour grows so to both sides.
    """
    places = ((i / (len(stops) - 1) - middle) / (1 - middle) for i in range(len(stops)))
    grown = (abs(place) ** gamma * (1 if place > 0 else -1) for place in places)
    return [[middle + (1 - middle) * place, stop] for place, stop in zip(grown, stops, strict=True)]


@lru_cache(maxsize=2)
def template(theme: str) -> go.layout.Template:
    """Fonts, axes, margins and hover labels of all figures, on paper of the page's colour, whatever is around it."""
    c = colours(theme)
    axis = {
        "gridcolor": c.grid,
        "linecolor": c.grid,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": c.muted, "size": 12},
        "title": {"font": {"color": c.muted, "size": 12}, "standoff": 8},
        "automargin": True,
    }
    layout = {
        "font": {"family": FONT, "size": 13, "color": c.text},
        "paper_bgcolor": c.page,
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(c.experts),
        "title": {"x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 12}, "font": {"size": 16}},
        "margin": {"l": 12, "r": 12, "t": 76, "b": 12},
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {
            "bgcolor": c.hover,
            "bordercolor": c.grid,
            "font": {"family": FONT, "size": 13, "color": c.text},
            "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top", "font": {"color": c.muted, "size": 12}},
        "coloraxis": {"colorbar": colorbar(theme)},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": c.muted, "activecolor": c.accent},
    }
    return go.layout.Template(layout=layout)


def colorbar(theme: str, title: str = "", **more: Any) -> dict[str, Any]:
    """A slim colour bar, its title along its side."""
    c = colours(theme)
    return {
        "title": {"text": title, "side": "right", "font": {"color": c.muted, "size": 12}},
        "tickfont": {"color": c.muted, "size": 11},
        "thickness": 10,
        "outlinewidth": 0,
        "len": 0.9,
        **more,
    }


def subplots(
    rows: int, cols: int, titles: list[str], *, fonts: Sequence[dict[str, Any]] = ({},), **more: Any
) -> go.Figure:
    """An empty figure of panels with their titles; `more` goes to plotly's `make_subplots`.

    fonts: what differs from the usual in the titles' fonts, for all, or for each title in turn. The same as making it
    and dressing its titles one by one, several times as fast: each arrangement of panels is worked out once.
    """
    layout, grid = _panels(rows, cols, tuple(map(bool, titles)), json.dumps(more, sort_keys=True))
    shown = [(title, fonts[place % len(fonts)]) for place, title in enumerate(titles) if title]
    notes = [
        {**note, "text": title, "font": {"size": 13, **font}}
        for note, (title, font) in zip(layout.get("annotations", ()), shown, strict=True)
    ]
    figure = go.Figure(layout={**layout, "annotations": notes} if notes else layout)
    # What plotly knows a figure's rows and columns by.
    figure.__dict__["_grid_ref"] = grid
    return figure


@lru_cache(maxsize=128)
def _panels(rows: int, cols: int, titled: tuple[bool, ...], more: str) -> tuple[dict[str, Any], Any]:
    """The layout of an empty figure of panels, each title a placeholder, and where plotly finds the panels."""
    titles = ["title" if one else "" for one in titled]
    made = make_subplots(rows=rows, cols=cols, subplot_titles=titles, **json.loads(more))
    return made.layout.to_plotly_json(), made.__dict__["_grid_ref"]


def finish(figure: go.Figure, theme: str, *, title: str, about: str, name: str, height: int) -> go.Figure:
    """Dress a figure: a title, one quiet line under it, and a `uirevision` so that zoom survives an update."""
    c = colours(theme)
    notes = cast(Any, figure.select_annotations())
    panel_titles = [note.text for note in notes if note.yanchor == "bottom"]
    lines = max((text.count("<br>") + 1 for text in panel_titles), default=0)
    figure.update_layout(
        template=template(theme),
        title={"text": title, "subtitle": {"text": about, "font": {"color": c.muted, "size": 12}}},
        height=height,
        # Panel titles stand between the line under the title and the panels.
        margin={"t": 80 + 24 * lines},
        uirevision=name,
        meta={"figure": name, "theme": theme},
    )
    return figure

"""Draws figures in the browser: new numbers go into the figure that is there, so zoom survives and redraws are cheap.

Streamlit's own plotly element takes a figure down and puts up a new one whenever its numbers change. While a model
trains next to it that costs the training more than a third of its speed, and a person their zoom.
"""

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st
import streamlit.components.v1 as assets
from plotly.io.json import to_json_plotly
from streamlit.components.v2 import component

DRAW = "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("heading.js", "canvas.js"))


def canvas(
    figure: go.Figure,
    key: str,
    *,
    config: dict[str, Any],
    alt: str,
    note: dict[str, str] | None = None,
    pick: Callable[[Any], None] | None = None,
    slim: go.Figure | None = None,
) -> None:
    """Draw ``figure`` in the width of its place; the same ``key`` draws into the same figure.

    ``config`` is plotly's (https://plotly.com/javascript/configuration-options/); ``alt`` tells those who cannot see
    the figure what it is. ``note`` goes into a saved picture: "about", "code", and the "stem" of the file's name.
    ``pick`` is called with the ``meta`` of a trace when the person clicks on it. ``slim``: the figure for a place that
    is as narrow as a phone.
    """
    drawing: dict[str, Any] = {"figure": figure, "config": config, "alt": alt, "note": note or {}, "plotly": _library()}
    if slim is not None:
        drawing["slim"] = slim
    for form in (figure, slim):
        if form is not None:
            # Zoom belongs to the person: numbers may change under it.
            form.update_layout(autosize=True, uirevision=key)
    if pick is None:
        mount(str(to_json_plotly(drawing)).encode(), key)
    else:
        mount(str(to_json_plotly({**drawing, "picks": True})).encode(), key, pick)


def mount(drawing: bytes, key: str, pick: Callable[[Any], None] | None = None) -> None:
    """Hand a drawing, as JSON, to the browser; packed, for pictures are a third of their size then."""
    packed = zlib.compress(drawing, 1)
    if pick is None:
        _component()(key=key, data=packed)
    else:
        _component()(key=key, data=packed, on_picked_change=lambda: pick(st.session_state[key]["picked"]))


@cache
def _component() -> Any:
    return component("strawberry_canvas", js=DRAW, isolate_styles=False)


def _library() -> str:
    """Where the browser finds plotly.js: the copy that the plotly package brings, served by Streamlit."""
    _assets()
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{f'/{base}' if base else ''}/component/{__name__}.plotly/plotly.min.js?v={plotly.__version__}"


@cache
def _assets() -> Any:
    return assets.declare_component("plotly", path=str(Path(plotly.__file__).parent / "package_data"))

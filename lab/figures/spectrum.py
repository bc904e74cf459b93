"""Singular spectra of the made weights, pass by pass."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lab.figures.filmstrip import frame_names, readers
from lab.figures.theme import colours, finish, scale
from lab.probe import Probe


def spectrum(
    probe: Probe,
    *,
    layer: int = 0,
    projection: str = "qkv",
    which: str = "current",
    chunk: int = -1,
    frame: int | None = None,
    theme: str = "light",
) -> go.Figure:
    """Singular values on a logarithmic axis, largest first, one line per frame; effective ranks in the legend.

    A line that falls off early means weights of low rank. `chunk` must be a kept one; `frame` is drawn thick.
    """
    c = colours(theme)
    symbol, side = ("wC", 0) if which == "current" else ("wT", 1)
    values = probe.spectrum(layer, projection, which=which, chunk=chunk)
    ranks = probe.measure("effective_rank", layer, projection, which=which)[:, chunk]
    stops = c.reading if side == 0 else c.making
    shades = sample_colorscale(scale(stops), list(np.linspace(0.45, 0.95, probe.frames)))
    floor = max(float(values.max()) * 1e-5, 1e-12)
    figure = go.Figure()
    for r, (line, rank) in enumerate(zip(values, ranks, strict=True)):
        name = frame_names(probe.frames)[r][side]
        figure.add_scatter(
            x=np.arange(1, len(line) + 1, dtype=np.int32),
            y=np.maximum(line, floor).astype(np.float32),
            name=f"{name} · effective rank {rank:.1f} of {len(line)}",
            mode="lines",
            line={"color": shades[r], "width": 4 if r == frame else 2, "dash": "dot" if r == 0 else "solid"},
            hovertemplate=f"<b>{symbol} · {name}</b><br>singular value %{{x}}: %{{y:.4g}}<extra></extra>",
        )
    figure.update_yaxes(
        type="log", title_text="singular value", **_ticks(max(float(values.min()), floor), float(values.max()))
    )
    figure.update_xaxes(title_text="number, largest first")
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · singular values of {symbol} ({projection})",
        about=f"{probe.label} · {readers(probe, chunk)}",
        name="spectrum",
        height=420,
    )


def _ticks(low: float, high: float) -> dict[str, Any]:
    """Marks at 1, 2 and 5 of each decade, or at its beginning where there are many, written in full."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    within = (1, 2, 5) if last - first <= 3 else (1,)
    marks = [mark * 10.0**power for power in range(first, last + 1) for mark in within]
    return {"tickvals": marks, "ticktext": [f"{mark:g}" for mark in marks]}

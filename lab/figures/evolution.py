"""How the made weights change over the passes: size, direction, and distance from where they began."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.figures.filmstrip import frame_names, readers
from lab.figures.theme import colours, finish, subplots
from lab.probe import Probe

PANELS = {
    "rms": "Size (RMS)",
    "change": "Change from base",
    "cosine_base": "Cosine to base",
    "cosine_previous": "Cosine to frame before",
}
SYMBOLS = {"qkv": "circle", "swiglu": "square", "out": "diamond"}


def weight_change(
    probe: Probe,
    *,
    layer: int = 0,
    chunk: int = -1,
    which: str = "current",
    frame: int | None = None,
    theme: str = "light",
) -> go.Figure:
    """Four small charts over frames 0..R, one line per projection; `frame` is marked. Any chunk has measures."""
    c = colours(theme)
    symbol, side = ("wC", 0) if which == "current" else ("wT", 1)
    names = [pair[side] for pair in frame_names(probe.frames)]
    figure = subplots(2, 2, list(PANELS.values()), horizontal_spacing=0.11, vertical_spacing=0.2)
    traces, rows, cols = [], [], []
    for place, (measure, panel) in enumerate(PANELS.items()):
        row, col = divmod(place, 2)
        for colour, projection in zip(c.experts, probe.projections, strict=False):
            values = probe.measure(measure, layer, projection, which=which)[:, chunk]
            trace = go.Scatter(
                x=np.arange(probe.frames, dtype=np.int32),
                y=values,
                name=projection,
                legendgroup=projection,
                showlegend=place == 0,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"symbol": SYMBOLS.get(projection, "circle"), "size": 8},
                text=names,
                hovertemplate=f"<b>{projection} · %{{text}}</b><br>{panel}: %{{y:.5f}}<extra></extra>",
            )
            traces.append(trace)
            rows.append(row + 1)
            cols.append(col + 1)
    figure.add_traces(traces, rows=rows, cols=cols)
    if frame is not None:
        at = frame % probe.frames
        mark: dict[str, Any] = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1}
        mark["line"] = {"color": c.muted, "width": 1.5, "dash": "dot"}
        panels = [str(number) if number > 1 else "" for number in range(1, len(PANELS) + 1)]
        figure.update_layout(shapes=[{**mark, "xref": f"x{panel}", "yref": f"y{panel} domain"} for panel in panels])
    cosines = [probe.measure(name, layer, p, which=which) for name in list(PANELS)[2:] for p in probe.projections]
    # From 0, or as far below as the lines go.
    lowest = min(0.0, 1.1 * float(np.nanmin(cosines)))
    short = [name.removeprefix("pass ") for name in names]
    # Marks that are not seen keep the first name from the 0 of the other axis.
    away = {"ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0,0,0,0)"}
    figure.update_xaxes(tickvals=list(range(probe.frames)), ticktext=short, tickangle=0, **away)
    figure.update_xaxes(title_text="pass", row=2)
    sizes = np.stack([probe.measure("rms", layer, p, which=which)[:, chunk] for p in probe.projections])
    grows = bool(sizes.max() > 30 * max(sizes.min(), 1e-12))
    figure.update_yaxes(nticks=5)
    for col in (1, 2):
        figure.update_yaxes(rangemode="tozero", type="log" if grows else "linear", row=1, col=col)
        figure.update_yaxes(range=[lowest, 1.08], row=2, col=col)
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · how {symbol} moves over the passes",
        about=f"{probe.label} · {readers(probe, chunk)}",
        name="weight_change",
        height=520,
    )

"""How the made weights change over the passes: size, direction, and distance from where they began."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.figures.filmstrip import frame_names
from lab.figures.theme import colorbar, colours, finish, scale
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
    figure = make_subplots(
        rows=2, cols=2, subplot_titles=list(PANELS.values()), horizontal_spacing=0.11, vertical_spacing=0.2
    )
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
            figure.add_trace(trace, row=row + 1, col=col + 1)
        if frame is not None:
            mark = {"color": c.muted, "width": 1.5, "dash": "dot"}
            figure.add_vline(x=frame % probe.frames, line=mark, row=row + 1, col=col + 1)
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(tickvals=list(range(probe.frames)), ticktext=names)
    figure.update_yaxes(nticks=5)
    for col in (1, 2):
        figure.update_yaxes(rangemode="tozero", row=1, col=col)
        figure.update_yaxes(range=[-1.08, 1.08], tickvals=[-1, -0.5, 0, 0.5, 1], row=2, col=col)
        figure.add_hline(y=0, line={"color": c.grid, "width": 1}, row=2, col=col)
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · how {symbol} moves over the passes",
        about=f"{probe.label} · chunk {chunk % probe.chunks} of {probe.chunks}",
        name="weight_change",
        height=520,
    )


def input_share(probe: Probe, *, layer: int | None = 0, projection: str = "qkv", theme: str = "light") -> go.Figure:
    """RMS(wC − wC of chunk 0) / RMS(wC) per chunk and pass: what the text, not the prior, put into the weights.

    `layer=None` shows the last chunk of every layer instead.
    """
    c = colours(theme)
    names = [wc for wc, _ in frame_names(probe.frames)]
    if layer is None:
        values = np.stack([probe.measure("input_share", i, projection)[:, -1] for i in range(probe.layers)])
        labels, over = [f"layer {i}" for i in range(probe.layers)], "in the last chunk of every layer"
    else:
        values = probe.measure("input_share", layer, projection).T
        size = probe.chunk or probe.tokens
        starts = [j * size for j in range(probe.chunks)]
        labels = [f"chunk {j} · tokens {s}–{min(s + size, probe.tokens) - 1}" for j, s in enumerate(starts)]
        over = f"in layer {layer % probe.layers}, chunk by chunk"
    trace = go.Heatmap(
        z=values.astype(np.float32),
        x=names,
        y=labels,
        text=[["–" if np.isnan(value) else f"{value:.1%}" for value in row] for row in values],
        texttemplate="%{text}",
        colorscale=scale(c.making),
        zmin=0,
        zmax=max(0.05, float(np.nanmax(values, initial=0))),
        xgap=2,
        ygap=2,
        colorbar=colorbar(theme, "share", tickformat=".0%"),
        hovertemplate="<b>%{y} · %{x}</b><br>input share %{z:.3%}<extra></extra>",
    )
    figure = go.Figure(trace)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    return finish(
        figure,
        theme,
        title=f"How much of wC ({projection}) the text decided, {over}",
        about=f"{probe.label} · chunk 0 is made from the learned prior alone",
        name="input_share",
        height=max(240, 150 + 34 * len(labels)),
    )

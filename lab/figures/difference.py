"""The difference of any two frames: of one probe, or of two taken at different steps or of different texts."""

import numpy as np
import plotly.graph_objects as go

from lab.figures.filmstrip import CELL, even, frame_names
from lab.figures.theme import FigureError, colorbar, colours, finish, scale, subplots
from lab.probe import Probe


def weight_difference(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    projection: str = "qkv",
    frame: int = -1,
    other_frame: int = 0,
    chunk: int = -1,
    which: str = "current",
    theme: str = "light",
) -> go.Figure:
    """`probe` at `frame`, `other` at `other_frame`, and the first minus the second, all on one range around 0."""
    for each in (probe, other):
        if projection not in each.projections:
            raise FigureError(f"{each.label} has no made weights {projection!r}; choose another run or projection")
    if probe.shape(projection) != other.shape(projection):
        shapes = probe.shape(projection), other.shape(projection)
        raise FigureError(f"these weights have different shapes, {shapes[0]} and {shapes[1]}; compare like with like")
    c = colours(theme)
    first = probe.picture(layer, projection, frame, which=which, chunk=chunk)
    second = other.picture(layer, projection, other_frame, which=which, chunk=chunk)
    side = 0 if which == "current" else 1
    symbol = "wC" if side == 0 else "wT"
    names = [
        f"{frame_names(p.frames)[number][side]}{'' if p.step is None else f', step {p.step}'}"
        for p, number in ((probe, frame), (other, other_frame))
    ]
    if names[0] == names[1] and probe.text != other.text:
        names = [f"{name}, {text} text" for name, text in zip(names, ("first", "second"), strict=True)]
    rows, columns = probe.picture_grid(projection)
    figure = subplots(
        1,
        3,
        [names[0], names[1], "first − second"],
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.02,
    )
    for col, picture in enumerate((first, second, first - second), start=1):
        trace = go.Heatmap(
            z=picture.astype(np.float32),
            x=even(columns),
            y=even(rows),
            coloraxis="coloraxis",
            hovertemplate=f"{CELL}<extra></extra>",
        )
        figure.add_trace(trace, row=1, col=col)
    largest = float(np.quantile(np.abs(np.stack([first, second])), 0.995)) or 1.0
    figure.update_xaxes(showticklabels=False, showgrid=False)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    figure.update_xaxes(title_text="column (input)", col=1)
    figure.update_yaxes(title_text="row (output)", col=1)
    figure.update_layout(
        coloraxis={
            "colorscale": scale(c.diverging),
            "cmin": -largest,
            "cmax": largest,
            "colorbar": colorbar(theme, "weight"),
        }
    )
    share = float(np.sqrt(np.square(first - second).mean()) / (np.sqrt(np.square(second).mean()) or 1.0))
    same = probe.label == other.label
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · {projection} · {symbol}: {names[0]} against {names[1]}",
        about=f"{probe.label if same else f'{probe.label} against {other.label}'} · RMS of the difference: {share:.1%} "
        "of the second's",
        name="weight_difference",
        height=360,
    )

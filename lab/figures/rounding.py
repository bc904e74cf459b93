"""Rounded weights: how large they are where they are kept, and what is left of them where they multiply."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from lab.figures.theme import FigureError, colours, finish, subplots
from lab.measure.rounding import Levels, levels

WIDEST = 4.0  # mean sizes; what is larger is counted in the last bar
BARS = 80
NAMES = {-1: "−1", 0: "0", 1: "+1"}
MOST = 96  # entries drawn along each side


def rounded_weights(weight: Any, *, rounding: str = "ternary", label: str = "", theme: str = "light") -> go.Figure:
    """Left, how many weights of a matrix (rows, columns) have which size; right, the level that each is rounded to.

    rounding: "ternary" or "sign". A matrix of more than 96 rows or columns is drawn as a grid of its entries.
    """
    found = levels_of(weight, rounding)
    c = colours(theme)
    shades = {-1: c.diverging[1], 0: c.grid, 1: c.diverging[5]}
    figure = subplots(1, 2, ["as they are kept", "as they multiply"], column_widths=[0.5, 0.5], horizontal_spacing=0.1)
    borders = np.linspace(-WIDEST, WIDEST, BARS + 1)
    inside = found.sizes.clip(-WIDEST, WIDEST)
    for level, share in found.shares.items():
        figure.add_bar(
            x=((borders[1:] + borders[:-1]) / 2).astype(np.float32),
            y=np.histogram(inside[found.whole == level], borders)[0].astype(np.int32),
            name=f"{NAMES[level]} · {share:.1%}",
            marker={"color": shades[level], "line": {"width": 0}},
            hovertemplate=f"%{{x:.2f}} mean sizes: %{{y}} weights<br>rounded to <b>{NAMES[level]}</b><extra></extra>",
            row=1,
            col=1,
        )
    for edge in found.edges:
        figure.add_vline(x=edge, line={"color": c.text, "width": 1, "dash": "dot"}, row=1, col=1)  # type: ignore[arg-type]
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(np.int32)) for n in found.whole.shape)
    stops = [shades[-1], shades[-1], c.page, c.page, shades[1], shades[1]]
    places = (0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1)
    figure.add_heatmap(
        z=found.whole[np.ix_(rows, columns)],
        x=columns,
        y=rows,
        zmin=-1.5,
        zmax=1.5,
        colorscale=[list(stop) for stop in zip(places, stops, strict=True)],
        showscale=False,
        hovertemplate="row %{y} · column %{x}<br><b>%{z}</b><extra></extra>",
        row=1,
        col=2,
    )
    figure.update_xaxes(title_text="weight / mean size", row=1, col=1)
    figure.update_yaxes(title_text="weights", row=1, col=1)
    figure.update_xaxes(title_text="column (input)", showgrid=False, constrain="domain", row=1, col=2)
    figure.update_yaxes(title_text="row (output)", showgrid=False, autorange="reversed", row=1, col=2)
    figure.update_layout(barmode="stack", bargap=0, legend_traceorder="normal")
    whole = len(rows) * len(columns) == found.whole.size
    about = f"{'×'.join(map(str, found.whole.shape))}, {'every entry' if whole else 'right a grid of its entries'}"
    return finish(
        figure,
        theme,
        title="What rounding leaves of the weights",
        about=f"{label} · {about}" if label else about,
        name="rounded_weights",
        height=440,
    )


def levels_of(weight: Any, rounding: str) -> Levels:
    """The levels of a matrix; FigureError for anything else, and for another rounding."""
    if rounding not in ("ternary", "sign"):
        raise FigureError(f"rounding must be ternary or sign; got {rounding!r}")
    weight = torch.as_tensor(weight)
    if weight.dim() != 2 or not weight.numel():
        raise FigureError(f"rounded weights are drawn matrix by matrix; got the shape {tuple(weight.shape)}")
    return levels(weight, rounding)

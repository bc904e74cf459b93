"""Maps of who reads whom: one in detail, two side by side, all in miniature, and their spread and reach."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from lab.figures import tokens as naming
from lab.figures.theme import colorbar, colours, finish, scale, subplots
from lab.measure import maps
from lab.probe import Probe

# So many cells of 4 bytes, in base64, stay under half a megabyte beside the rest of a figure; more get 2 bytes each.
EXACT_CELLS = 80_000
CODES = 10_000
Place = tuple[int, int, int | None]
SIGNED = "red adds, blue subtracts"


class Panel(NamedTuple):
    """One map's weights, pooled where it is long, the tokens along it, and whether its weights are averages."""

    weights: np.ndarray
    labels: list[str]
    axis: dict[str, Any]
    note: str
    averages: bool


def attention_map(
    probe: Probe,
    *,
    layer: int = 0,
    loop: int = 0,
    index: int | None = None,
    tokens: tuple[int, int] | None = None,
    theme: str = "light",
) -> go.Figure:
    """Row: the token that reads. Column: the token read. The future, above the diagonal, is blank.

    `index` is a head or channel, None the mean over all; tokens=(start, stop) shows a part. Colour grows with the
    square root of the weight, or small weights would all look like none; where weights have either sign, both ways
    from 0.
    """
    panel = _panel(probe, (layer, loop, index), tokens)
    figure = go.Figure(_traces([panel], EXACT_CELLS))
    figure.update_layout(coloraxis=map_colours(theme, [panel], EXACT_CELLS))
    figure.update_xaxes(**panel.axis, tickangle=-90, showgrid=False, title_text="token read")
    figure.update_yaxes(**panel.axis, showgrid=False, title_text="token that reads")
    figure.update_yaxes(autorange="reversed")
    largest, relative = probe.reconstruction(layer, loop)
    check = f"maps rebuild the mixer's output to {largest:.1e} ({relative:.1e} of its size)"
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · pass {loop % probe.loops + 1} · {probe.map_name(layer, index)}",
        about=f"{probe.label} · {check}{_note([panel])}",
        name="attention_map",
        height=680,
    )


def map_pair(
    probe: Probe, left: Place, right: Place, *, tokens: tuple[int, int] | None = None, theme: str = "light"
) -> go.Figure:
    """Two maps, each named by (layer, loop, index), and how unlike their rows are.

    On one range, but where weights have either sign: their sizes compare with no other mixer's, and each map has its
    own.
    """
    titles = [
        f"layer {layer % probe.layers} · pass {loop % probe.loops + 1}<br>{probe.map_name(layer, index)}"
        for layer, loop, index in (left, right)
    ]
    panels = [_panel(probe, place, tokens) for place in (left, right)]
    alike = all(panel.averages for panel in panels)
    figure = subplots(1, 2, titles, fonts=[{"size": 12}], horizontal_spacing=0.08 if alike else 0.16)
    traces = _traces(panels, EXACT_CELLS // 2)
    if alike:
        figure.update_layout(coloraxis=map_colours(theme, panels, EXACT_CELLS // 2))
    else:
        traces = [trace for panel in panels for trace in _traces([panel], EXACT_CELLS // 2)]
        traces[1].coloraxis = "coloraxis2"
        first, second = (map_colours(theme, [panel], EXACT_CELLS // 2) for panel in panels)
        first["colorbar"] |= {"x": 0.43}
        figure.update_layout(coloraxis=first, coloraxis2=second)
    for col, (panel, trace) in enumerate(zip(panels, traces, strict=True), start=1):
        figure.add_trace(trace, row=1, col=col)
        figure.update_xaxes(**panel.axis, tickangle=-90, showgrid=False, title_text="token read", row=1, col=col)
        figure.update_yaxes(**panel.axis, showgrid=False, autorange="reversed", row=1, col=col)
    figure.update_xaxes(matches="x", row=1, col=2)
    # The same tokens: named once, at the left.
    figure.update_yaxes(matches="y", showticklabels=False, automargin=False, row=1, col=2)
    figure.update_yaxes(title_text="token that reads", row=1, col=1)
    apart = maps.divergence(probe.map(*left), probe.map(*right))[1:]
    of = "rows" if alike else "rows' absolute weights"
    return finish(
        figure,
        theme,
        title="Who reads whom, side by side",
        about=f"{probe.label} · Jensen–Shannon divergence of the {of} {apart.mean():.3f} nats on average (0 same, "
        f"0.693 disjoint){'' if alike else ' · each on its own range'}{_note(panels)}",
        name="map_pair",
        height=584,
    )


def map_grid(probe: Probe, *, layer: int = 0, loop: int = 0, theme: str = "light") -> go.Figure:
    """Every head, or 16 channels spread over the layer's, in miniature, all on one range."""
    c = colours(theme)
    count, axis = probe.map_count(layer), probe.map_axis(layer)
    chosen, mixer = probe.map_sample(layer), probe.mixer_name(layer)
    across = min(len(chosen), 4 if len(chosen) <= 8 else 8)
    down = -(-len(chosen) // across)
    titles = [f"{axis} {index}" for index in chosen]
    fonts = [{"size": 12, "color": c.muted}]
    figure = subplots(down, across, titles, fonts=fonts, horizontal_spacing=0.015, vertical_spacing=0.16 / down)
    pooled = [naming.pool(weights, 48) for weights in probe.maps(layer, loop, chosen)]
    panels = [Panel(weights, [], {}, "", probe.averages(layer)) for weights, _ in pooled]
    traces = []
    for place, (weights, stride) in enumerate(pooled):
        trace = go.Heatmap(
            z=blank_future(weights),
            dx=stride,
            dy=stride,
            coloraxis="coloraxis",
            meta=chosen[place],
            hoverongaps=False,
            hovertemplate=f"<b>{titles[place]}</b><br>token %{{y}} reads %{{x}}<br>weight %{{z:.4f}}<extra></extra>",
        )
        traces.append(trace)
    places = range(len(traces))
    figure.add_traces(traces, [place // across + 1 for place in places], [place % across + 1 for place in places])
    figure.update_layout(coloraxis=map_colours(theme, panels, EXACT_CELLS))
    # Measuring 32 axes for labels that they don't have takes longer than drawing the maps.
    figure.update_xaxes(showticklabels=False, showgrid=False, automargin=False)
    figure.update_yaxes(showticklabels=False, showgrid=False, autorange="reversed", automargin=False)
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · pass {loop % probe.loops + 1} · {mixer}, {axis} by {axis}",
        about=f"{probe.label} · {len(chosen)} of {count} {axis}s{_note(panels)}",
        name="map_grid",
        height=130 + 160 * down,
    )


def map_profile(
    probe: Probe, *, layer: int = 0, loop: int = 0, index: int | None = None, theme: str = "light"
) -> go.Figure:
    """Entropy of each token's reading and how far back it reads on average, beside what an even map would have.

    Where weights have either sign, of their absolute values.
    """
    c = colours(theme)
    weights = probe.map(layer, loop, index)
    lengths = np.arange(1, probe.tokens + 1)
    panels = {
        "Spread (entropy, nats)": (maps.entropy(weights), np.log(lengths)),
        "Reach (mean distance, tokens)": (maps.distance(weights), (lengths - 1) / 2),
    }
    figure = subplots(2, 1, list(panels), shared_xaxes=True, vertical_spacing=0.14)
    labels = naming.names(probe.pieces)
    of = "" if probe.averages(layer) else ", absolute weights"
    for row, (panel, (values, even)) in enumerate(panels.items(), start=1):
        figure.add_scatter(
            x=labels,
            y=even.astype(np.float32),
            mode="lines",
            line={"color": c.muted, "width": 1.5, "dash": "dash"},
            showlegend=False,
            hoverinfo="skip",
            row=row,
            col=1,
        )
        figure.add_scatter(
            x=labels,
            y=values.astype(np.float32),
            mode="lines",
            line={"color": c.accent, "width": 2},
            showlegend=False,
            hovertemplate=f"token <b>%{{x}}</b><br>{panel}: %{{y:.3f}}<extra></extra>",
            row=row,
            col=1,
        )
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(**naming.ticks(probe.pieces, most=64), tickangle=-90, showgrid=False)
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · pass {loop % probe.loops + 1} · spread and reach",
        about=f"{probe.label} · {probe.map_name(layer, index)}{of} · dashed: an even map",
        name="map_profile",
        height=480,
    )


def _panel(probe: Probe, place: Place, tokens: tuple[int, int] | None) -> Panel:
    start, stop = naming.part(probe.tokens, tokens)
    pieces = probe.pieces[start:stop]
    weights, stride = naming.pool(probe.map(*place)[start:stop, start:stop])
    note = f" · groups of {stride} tokens" if stride > 1 else ""
    labels = naming.names(pieces, start, stride)
    return Panel(weights, labels, naming.ticks(pieces, stride), note, probe.averages(place[0]))


def _traces(panels: Sequence[Panel], budget: int) -> list[go.Heatmap]:
    """Panels on the shared colour axis; those of more cells than ``budget`` in whole numbers of :func:`_unit`."""
    unit, traces = _unit(panels, budget), []
    for panel in panels:
        cells, value = blank_future(panel.weights), "%{z:.5f}"
        if unit != 1:
            cells, value = np.round(panel.weights * unit).astype(np.int16), f"%{{z}}/{unit:g}"
        trace = go.Heatmap(
            z=cells,
            x=panel.labels,
            y=panel.labels,
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate=f"<b>%{{y}}</b> reads <b>%{{x}}</b><br>weight {value}<extra></extra>",
        )
        traces.append(trace)
    return traces


def _unit(panels: Sequence[Panel], budget: int) -> float:
    """1, or what weights are multiplied with to become whole numbers of two bytes, where cells are very many."""
    if all(panel.weights.size <= budget for panel in panels):
        return 1
    largest = max(float(np.abs(panel.weights).max()) for panel in panels)
    # A power of ten, so that the hover reads as a fraction; averages are 1 at most, but for rounding.
    return CODES / 10 ** math.ceil(math.log10(largest or 1) - 1e-4)


def blank_future(weights: np.ndarray) -> np.ndarray:
    shown = weights.astype(np.float32)
    shown[np.triu_indices(len(shown), 1)] = np.nan
    return shown


def _note(panels: Sequence[Panel]) -> str:
    return ("" if all(panel.averages for panel in panels) else f" · {SIGNED}") + panels[0].note


def _top(weights: np.ndarray) -> float:
    return max(float(np.quantile(np.abs(weights[np.tril_indices(len(weights))]), 0.995)), 1e-6)


def map_colours(theme: str, panels: Sequence[Panel], budget: int) -> dict[str, Any]:
    """One range for all panels: from 0, or, as soon as weights of one have either sign, as far below 0 as above."""
    c, top, unit = colours(theme), max(_top(panel.weights) for panel in panels), _unit(panels, budget)
    # Ticks at squares are evenly spaced in colour.
    marks = top * np.linspace(0, 1, 5) ** 2
    stops, low = scale(c.reading, gamma=2), 0.0
    if not all(panel.averages for panel in panels):
        marks, stops, low = np.concatenate([-marks[:0:-2], marks[::2]]), scale(c.diverging, gamma=2, middle=0.5), -top
    bar = colorbar(
        theme,
        "weight, root scale",
        tickmode="array",
        tickvals=list(marks * unit),
        ticktext=[f"{mark:.3g}" for mark in marks],
    )
    return {"colorscale": stops, "cmin": low * unit, "cmax": top * unit, "colorbar": bar}

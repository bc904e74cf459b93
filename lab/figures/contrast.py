"""Two probes side by side on equal scales, and their difference where their shapes agree: weights, experts, maps."""

import numpy as np
import plotly.graph_objects as go

from lab.figures import tokens as naming
from lab.figures.attention import Panel, blank_future, map_colours
from lab.figures.filmstrip import CELL, even, frame_names, panel_title
from lab.figures.routing import ROUTER_NAMES
from lab.figures.theme import FigureError, colorbar, colours, finish, scale, subplots
from lab.measure import maps
from lab.probe import Probe

POOLED = 128  # tokens along a map, at most
CELLS = 60_000  # of all panels together; larger pictures are shown every other row and column


def contrast_filmstrip(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    other_layer: int | None = None,
    projection: str = "qkv",
    which: str = "current",
    ranges: str = "own",
    theme: str = "light",
) -> go.Figure:
    """A's frames above B's above A − B, coloured on one range around 0; the last kept chunk of each.

    ranges="own" measures each panel in its own RMS, as the update rule does, "shared" in the weights' own size.
    """
    if ranges not in ("own", "shared"):
        raise FigureError(f"ranges must be own or shared; got {ranges!r}")
    c = colours(theme)
    rows = [
        _frames(each, number, projection, which, ranges) for each, number in _both(probe, other, layer, other_layer)
    ]
    agree = probe.shape(projection) == other.shape(projection)
    side, symbol = (0, "wC") if which == "current" else (1, "wT")
    across = max(len(pictures) for pictures, _ in rows)
    titles, drawn = [], []
    for letter, (pictures, sizes) in zip("AB", rows, strict=True):
        names = [frame_names(len(pictures))[frame][side] for frame in range(len(pictures))]
        labels = [panel_title(letter, name, size, across) for name, size in zip(names, sizes, strict=True)]
        titles += [*labels, *[""] * (across - len(labels))]
        drawn.append([*pictures, *[None] * (across - len(pictures))])
    if agree:
        both = list(zip(rows[0][0], rows[1][0], strict=False))
        drawn.append([*(first - second for first, second in both), *[None] * (across - len(both))])
        titles += [*(f"A − B, {(frame_names(across)[frame][side])}" for frame in range(len(both)))]
        titles += [""] * (across - len(both))
    figure = subplots(
        len(drawn), across, titles, shared_xaxes="all" if agree else False, shared_yaxes="all" if agree else False,
        horizontal_spacing=min(0.02, 0.2 / across), vertical_spacing=0.08 if across <= 4 else 0.1,
        fonts=[{"size": 12 if across <= 4 else 11}],
    )  # fmt: skip
    stride = 2 if sum(picture.size for row in drawn for picture in row if picture is not None) > CELLS else 1
    for row, (letter, pictures) in enumerate(zip(("A", "B", "A − B"), drawn, strict=False), start=1):
        grid = (other if letter == "B" else probe).picture_grid(projection)
        for col, picture in enumerate(pictures, start=1):
            if picture is None:
                continue
            trace = go.Heatmap(
                z=picture[::stride, ::stride].astype(np.float32),
                x=even(grid[1])[::stride],
                y=even(grid[0])[::stride],
                coloraxis="coloraxis",
                hovertemplate=f"<b>{letter}</b><br>{CELL}<extra></extra>",
            )
            figure.add_trace(trace, row=row, col=col)
    figure.update_xaxes(showticklabels=False, showgrid=False)
    figure.update_yaxes(showticklabels=False, showgrid=False, autorange="reversed")
    largest = float(np.quantile(np.abs(np.concatenate([np.ravel(p) for row in rows for p in row[0]])), 0.995)) or 1.0
    figure.update_layout(
        coloraxis={
            "colorscale": scale(c.diverging),
            "cmin": -largest,
            "cmax": largest,
            "colorbar": colorbar(theme, "weight" if ranges == "shared" else "weight / RMS of its panel"),
        }
    )
    places = [f"layer {number % each.layers}" for each, number in _both(probe, other, layer, other_layer)]
    note = "" if agree else " · shapes differ, so there is no difference to draw"
    return _finish(
        figure, probe, other, theme, f"{symbol} of {projection}, {_either(places)}", note, "contrast_filmstrip",
        120 + 190 * len(drawn),
    )  # fmt: skip


def contrast_experts(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    other_layer: int | None = None,
    loop: int = 0,
    kind: str = "ffn",
    values: str = "gates",
    theme: str = "light",
) -> go.Figure:
    """Token × expert of A above that of B on one range, above A − B where both read the same tokens."""
    if values not in ("gates", "probs"):
        raise FigureError(f"values must be gates or probs; got {values!r}")
    c = colours(theme)
    places = _both(probe, other, layer, other_layer)
    shown = [(each.gates if values == "gates" else each.probs)(number, loop, kind) for each, number in places]
    agree = same_text(probe, other) and shown[0].shape == shown[1].shape
    word = "gate" if values == "gates" else "probability"
    panels = [("A", shown[0], "coloraxis"), ("B", shown[1], "coloraxis")]
    if agree:
        panels.append(("A − B", shown[0] - shown[1], "coloraxis2"))
    heights = [panel[1].shape[1] for panel in panels]
    figure = subplots(
        len(panels), 1, [name for name, _, _ in panels], row_heights=heights, vertical_spacing=0.12 if agree else 0.22,
        shared_xaxes=agree,
    )  # fmt: skip
    for row, (name, gates, axis) in enumerate(panels, start=1):
        each, number = places[1 if name == "B" else 0]
        trace = go.Heatmap(
            z=np.ascontiguousarray(gates.T, dtype=np.float32),
            x=naming.names(each.pieces),
            y=each.expert_names(number, kind),
            coloraxis=axis,
            ygap=2,
            hovertemplate=f"<b>{name}</b> · token <b>%{{x}}</b><br>expert <b>%{{y}}</b><br>{word} %{{z:.4f}}"
            "<extra></extra>",
        )
        figure.add_trace(trace, row=row, col=1)
        figure.update_xaxes(**naming.ticks(each.pieces, most=64), tickangle=-90, showgrid=False, row=row, col=1)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    top = max(*(float(gates.max()) for gates in shown), 1e-6)
    bar = colorbar(theme, word, len=0.6 if agree else 0.9, y=0.72 if agree else 0.5)
    figure.update_layout(coloraxis={"colorscale": scale(c.routing), "cmin": 0, "cmax": top, "colorbar": bar})
    if agree:
        bar = colorbar(theme, "difference", len=0.32, y=0.14)
        figure.update_layout(coloraxis2={"colorscale": scale(c.diverging), "cmin": -top, "cmax": top, "colorbar": bar})
        otherwise = ((shown[0] > 0) != (shown[1] > 0)).any(axis=-1).mean() if values == "gates" else None
        note = "" if otherwise is None else f" · {otherwise:.0%} of the tokens go to other experts"
    else:
        note = " · other tokens or experts, so there is no difference to draw"
    layers = _either([f"layer {number % each.layers}" for each, number in places])
    return _finish(
        figure, probe, other, theme, f"{ROUTER_NAMES[kind].capitalize()}, {layers}, pass {loop + 1}", note,
        "contrast_experts", 190 + len(panels) * 46 + 26 * sum(heights) + (0 if agree else 90),
    )  # fmt: skip


def contrast_maps(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    other_layer: int | None = None,
    loop: int = 0,
    index: int | None = None,
    theme: str = "light",
) -> go.Figure:
    """Who reads whom in A beside B on one range, beside A − B where both read the same tokens.

    ``index`` is a head or channel of both, None the mean over all; maps of more than 128 tokens are pooled.
    """
    c = colours(theme)
    places = _both(probe, other, layer, other_layer)
    panels = []
    for each, number in places:
        weights, stride = naming.pool(each.map(number, loop, index), POOLED)
        labels, ticks = naming.names(each.pieces, 0, stride), naming.ticks(each.pieces, stride, 24)
        panels.append(
            Panel(weights, labels, ticks, f" · groups of {stride} tokens" * (stride > 1), each.averages(number))
        )
    agree = same_text(probe, other)
    drawn = [("A", panels[0].weights, "coloraxis"), ("B", panels[1].weights, "coloraxis")]
    titles = [
        f"{letter}<br>{each.map_name(number, index)}" for letter, (each, number) in zip("AB", places, strict=True)
    ]
    if agree:
        drawn.append(("A − B", panels[0].weights - panels[1].weights, "coloraxis2"))
        titles.append("A − B")
    figure = subplots(1, len(drawn), titles, fonts=[{"size": 11}], horizontal_spacing=0.035)
    for col, (name, weights, axis) in enumerate(drawn, start=1):
        panel = panels[1 if name == "B" else 0]
        trace = go.Heatmap(
            z=blank_future(weights),
            x=panel.labels,
            y=panel.labels,
            coloraxis=axis,
            hoverongaps=False,
            hovertemplate=f"<b>{name}</b> · <b>%{{y}}</b> reads <b>%{{x}}</b><br>%{{z:.5f}}<extra></extra>",
        )
        figure.add_trace(trace, row=1, col=col)
        figure.update_xaxes(**panel.axis, tickangle=-90, showgrid=False, row=1, col=col)
        figure.update_yaxes(**panel.axis, showgrid=False, autorange="reversed", row=1, col=col)
        if agree and col > 1:
            figure.update_xaxes(matches="x", row=1, col=col)
            figure.update_yaxes(matches="y", showticklabels=False, row=1, col=col)
    axis = map_colours(theme, panels, 3 * POOLED**2)
    figure.update_layout(coloraxis=axis)
    note = panels[0].note
    if agree:
        top = float(axis["cmax"])
        place = {"orientation": "h", "y": -0.2, "yanchor": "top", "len": 0.3, "x": 0.84}
        bar = colorbar(theme, "", tickvals=[-top, 0, top], ticktext=[f"−{top:.2g}", "0", f"{top:.2g}"])
        figure.update_layout(
            coloraxis2={
                "colorscale": scale(c.diverging, gamma=2, middle=0.5), "cmin": -top, "cmax": top,
                "colorbar": bar | place,
            }
        )  # fmt: skip
        apart = maps.divergence(probe.map(layer, loop, index), other.map(places[1][1], loop, index))[1:]
        note += f" · Jensen–Shannon divergence {apart.mean():.3f} nats on average (0 same, 0.693 disjoint)"
    else:
        note += " · they read different tokens, so there is no difference to draw"
    layers = _either([f"layer {number % each.layers}" for each, number in places])
    return _finish(
        figure, probe, other, theme, f"Who reads whom, {layers}, pass {loop + 1}", note, "contrast_maps",
        520 if agree else 560,
    )  # fmt: skip


def same_text(probe: Probe, other: Probe) -> bool:
    """Whether both read the same tokens."""
    return probe.pieces == other.pieces


def _both(probe: Probe, other: Probe, layer: int, other_layer: int | None) -> list[tuple[Probe, int]]:
    places = [(probe, layer), (other, layer if other_layer is None else other_layer)]
    for each, number in places:
        if not -each.layers <= number < each.layers:
            raise FigureError(f"{each.label} has {each.layers} layers; layer {number} is none of them")
    return places


def _frames(probe: Probe, layer: int, projection: str, which: str, ranges: str) -> tuple[list[np.ndarray], list[float]]:
    """Pictures and sizes of every frame."""
    if projection not in probe.projections:
        raise FigureError(f"{probe.label} has no made weights {projection!r}; choose another run or projection")
    sizes = [float(size) for size in probe.measure("rms", layer, projection, which=which)[:, -1]]
    pictures = [probe.picture(layer, projection, frame, which=which) for frame in range(probe.frames)]
    if ranges == "own":
        pictures = [picture / (size or 1.0) for picture, size in zip(pictures, sizes, strict=True)]
    return pictures, sizes


def _either(places: list[str]) -> str:
    return places[0] if places[0] == places[1] else " and ".join(places)


def _finish(
    figure: go.Figure, probe: Probe, other: Probe, theme: str, title: str, note: str, name: str, height: int
) -> go.Figure:
    """Dressed, with A and B named on a line each."""
    about = f"A: {probe.label}{note}<br>B: {other.label}"
    finished = finish(figure, theme, title=title, about=about, name=name, height=height)
    return finished.update_layout(margin_t=finished.layout.margin.t + 18)  # type: ignore[union-attr]

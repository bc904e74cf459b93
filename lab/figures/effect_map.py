"""What a change inside a model did to one map of who reads whom: before, after, and the difference."""

import numpy as np
import plotly.graph_objects as go

from lab.figures import tokens as naming
from lab.figures.theme import colorbar, colours, finish, scale, subplots
from lab.interventions import Effect
from lab.measure import maps

MOST = 160  # rows of a panel: three of them stay under half a megabyte
TITLES = ("as it is", "altered", "altered − as it is")


def effect_map(
    effect: Effect,
    *,
    layer: int = 0,
    loop: int = 0,
    index: int | None = None,
    tokens: tuple[int, int] | None = None,
    theme: str = "light",
) -> go.Figure:
    """The map of one layer and pass as it is and altered, on one scale, and their difference on its own.

    Row: the token that reads. Column: the token read. `index` is a head or channel, None the mean over all. Colour
    grows with the square root.
    """
    c = colours(theme)
    start, stop = naming.part(effect.tokens, tokens)
    averages = effect.before.averages(layer)
    whole = maps_of(effect, layer, loop, index)
    pooled = [naming.pool(weights[start:stop, start:stop], MOST) for weights in whole]
    stride = pooled[0][1]
    panels = [weights for weights, _ in pooled]
    panels.append(panels[1] - panels[0])
    past = np.tril_indices(len(panels[0]))
    pieces = effect.pieces[start:stop]
    labels, axis = naming.names(pieces, start, stride), naming.ticks(pieces, stride, 24)
    figure = subplots(1, 3, list(TITLES), horizontal_spacing=0.02, shared_xaxes="all", shared_yaxes="all")
    for column, (title, weights) in enumerate(zip(TITLES, panels, strict=True), start=1):
        shown = weights.astype(np.float32)
        shown[np.triu_indices(len(shown), 1)] = np.nan
        figure.add_heatmap(
            z=shown, x=labels, y=labels, coloraxis="coloraxis2" if column == 3 else "coloraxis", hoverongaps=False,
            hovertemplate=f"<b>%{{y}}</b> reads <b>%{{x}}</b><br>{title}: %{{z:.5f}}<extra></extra>",
            row=1, col=column,
        )  # fmt: skip
    top, moved = (
        max(float(np.quantile(np.abs(np.stack(each)[:, past[0], past[1]]), 0.995)), 1e-9)
        for each in (panels[:2], panels[2:])
    )
    signed = scale(c.diverging, gamma=2, middle=0.5)
    figure.update_layout(
        coloraxis={
            "colorscale": scale(c.reading, gamma=2) if averages else signed, "cmin": 0 if averages else -top,
            "cmax": top, "colorbar": colorbar(theme, "", orientation="h", x=0.33, y=-0.34, len=0.5, nticks=4),
        },
        coloraxis2={
            "colorscale": signed, "cmin": -moved, "cmax": moved,
            "colorbar": colorbar(theme, "", orientation="h", x=0.84, y=-0.34, len=0.28, nticks=4),
        },
    )  # fmt: skip
    figure.update_xaxes(**axis, tickangle=-90, showgrid=False)
    figure.update_yaxes(**axis, showgrid=False)
    figure.update_yaxes(autorange="reversed", title_text="token that reads", col=1)
    apart = float(maps.divergence(*whole).mean())
    grouped = f" · groups of {stride} tokens" if stride > 1 else ""
    return finish(
        figure,
        theme,
        title=f"Layer {layer % effect.before.layers} · pass {loop + 1} · {effect.before.map_name(layer, index)}",
        about=f"{effect.label} · rows are {apart:.4f} nats apart on average (Jensen–Shannon){grouped}",
        name="effect_map",
        height=520,
    )


def maps_of(effect: Effect, layer: int, loop: int, index: int | None) -> list[np.ndarray]:
    """The (T, T) map before and after."""
    return [probe.map(layer, loop, index) for probe in (effect.before, effect.after)]

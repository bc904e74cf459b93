"""Which tokens moved one prediction: by map, by gradient and by removal, one above the other over the same tokens."""

import numpy as np
import plotly.graph_objects as go

from lab.figures import tokens as naming
from lab.figures.effect import context
from lab.figures.theme import FigureError, colours, finish, subplots
from lab.measure.influence import WAYS, Influence

SAYS = {
    "map": ("By map: share of what was read, through all layers and passes", "share %{y:.4f}"),
    "gradient": ("By gradient: nats per small turn of the token's embedding", "%{y:.4f} nats per radian"),
    "removal": ("By removal: nats that the prediction loses when the token is blanked", "%{y:+.4f} nats"),
}
NAMED = 3


def influence(influence: Influence, *, tokens: tuple[int, int] | None = None, theme: str = "light") -> go.Figure:
    """Three rows of bars over the tokens up to the one that predicts, and those after it where a model reads them.

    The three strongest of each row are named. In the third row red made the target likelier and blue less likely. The
    token that predicts often matters by far the most: its bar may leave the picture, and its value stands beside it.
    """
    c = colours(theme)
    start, stop = tokens or (0, last_of(influence) + 1)
    if not 0 <= start < stop <= influence.probe.tokens:
        raise FigureError(f"tokens must be a part of 0 to {influence.probe.tokens}, such as (0, 8); got {tokens}")
    pieces = influence.probe.pieces[start:stop]
    labels = naming.names(pieces, start)
    figure = subplots(3, 1, [SAYS[way][0] for way in WAYS], shared_xaxes=True, vertical_spacing=0.09)
    for row, way in enumerate(WAYS, start=1):
        values = getattr(influence, way)[start:stop].astype(np.float32)
        colour = [c.wc if value > 0 else c.wt for value in values.tolist()] if way == "removal" else c.experts[2]
        figure.add_bar(
            x=labels,
            y=values,
            marker={"color": colour, "cornerradius": 2},
            showlegend=False,
            hovertemplate=f"token <b>%{{x}}</b><br>{SAYS[way][1]}<extra></extra>",
            row=row,
            col=1,
        )
        low, high = _room(values, influence.position - start)
        for place in influence.strongest(way, NAMED):
            if start <= place < stop:
                name, height = naming.escaped(pieces[place - start].strip() or " "), float(values[place - start])
                inside = low <= height <= high
                figure.add_annotation(
                    x=place - start, y=min(max(height, low), high), text=name if inside else f"{name} {height:.3g} ",
                    showarrow=False, yshift=(9 if height >= 0 else -9) * (1 if inside else -1), yanchor="middle",
                    xanchor="center" if inside else "right", font={"size": 11, "color": c.text}, row=row, col=1,
                )  # fmt: skip
        figure.update_yaxes(row=row, col=1, nticks=4, range=[low, high])
    figure.update_layout(bargap=0.15)
    figure.update_xaxes(**naming.ticks(pieces, most=64), tickangle=-90, showgrid=False)
    asked = naming.escaped(influence.target), context(influence.probe.pieces, influence.position)
    following = "" if influence.true else " (which does not follow in the text)"
    alike = ", ".join(
        f"{first}–{second} {influence.agreement(first, second):.2f}"
        for first, second in (("map", "gradient"), ("map", "removal"), ("gradient", "removal"))
    )
    return finish(
        figure,
        theme,
        title="What moved “\u2068{}\u2069” after “{}”".format(*asked),
        about=f"{influence.label} · its probability is {np.exp(influence.log_p):.1%}{following} · agreement (rank "
        f"correlation): {alike}",
        name="influence",
        height=620,
    )


def last_of(influence: Influence) -> int:
    """The last token that any of the three ways has a number for."""
    moved = [np.flatnonzero(getattr(influence, way)) for way in WAYS]
    return max(influence.position, *(int(places[-1]) if len(places) else 0 for places in moved))


def _room(values: np.ndarray, own: int) -> tuple[float, float]:
    """A range for all bars but, where it is several times as large as any other, that of the token at ``own``."""
    others = np.delete(values, own) if 0 <= own < len(values) else values
    if not others.any() or np.abs(values).max() < 3 * np.abs(others).max():
        others = values
    high, low = max(float(others.max()), 0.0), min(float(others.min()), 0.0)
    space = 0.16 * (high - low or 1.0)
    return low - space if low else 0.0, high + space

"""What a score costs: variants against time, FLOPs and state size, and the front that nothing beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.ablate.metric import METRICS
from lab.figures.study.palette import looks
from lab.figures.theme import FigureError, colours, finish, subplots

COSTS = {
    "seconds": "seconds of training",
    "flops": "FLOPs of training",
    "state_size": "state: numbers per row",
}

SAME = 1.01  # costs that differ by no more were matched


@dataclass(frozen=True)
class Point:
    """One variant on one data set: the mean score with the lowest and highest of its seeds, and what it costs.

    unranked: why it has no place on a front, in few words; empty where it has one.
    """

    name: str
    score: float
    low: float
    high: float
    seconds: float
    flops: float
    state_size: float
    unranked: str = ""


def pareto(
    points: Sequence[Point], *, metric: str, data: str = "", costs: Sequence[str] = tuple(COSTS), theme: str = "light"
) -> go.Figure:
    """One panel per cost, to the left is cheaper; the line joins the variants that no other beats in score and cost."""
    if unknown := [cost for cost in costs if cost not in COSTS]:
        raise FigureError(f"costs must be among {', '.join(COSTS)}; got {', '.join(unknown)}")
    c, judged = colours(theme), METRICS[metric]
    figure = subplots(1, len(costs), [""] * len(costs), shared_yaxes=True, horizontal_spacing=0.03)
    shades, (bottom, top) = looks([point.name for point in points], theme), _heights(points)
    for column, cost in enumerate(costs, start=1):
        line = front(points, cost, metric)
        if len(line) > 1:
            # Between two of the front, whoever may spend less than the dearer one gets the cheaper one's score.
            figure.add_scatter(
                x=[getattr(point, cost) for point in line], y=[point.score for point in line], mode="lines",
                line={"color": c.muted, "width": 1.2, "dash": "dot", "shape": "hv"}, hoverinfo="skip",
                showlegend=False, row=1, col=column,
            )  # fmt: skip
        for point in points:
            look = shades[point.name]
            on = point in line
            figure.add_scatter(
                x=[getattr(point, cost)], y=[min(max(point.score, bottom), top)], mode="markers", cliponaxis=False,
                showlegend=column == 1, customdata=[point.score],
                name=f"{point.name} ({point.unranked})" if point.unranked else point.name, legendgroup=point.name,
                marker={"color": c.alarm if point.unranked else look.colour, "size": 12, "line": {"width": 2},
                        "symbol": "x-thin-open" if point.unranked else look.symbol if on else f"{look.symbol}-open"},
                error_y={"type": "data", "symmetric": False, "array": [point.high - point.score], "width": 3,
                         "arrayminus": [point.score - point.low], "thickness": 1.2, "visible": not point.unranked},
                hovertemplate=f"<b>{point.name}</b><br>{judged.words} %{{customdata:.4f}}<br>{COSTS[cost]} %{{x:,.4s}}"
                "<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(title_text=COSTS[cost], **_axis(points, cost), row=1, col=column)
    way = "higher" if judged.higher else "lower"
    figure.update_yaxes(title_text=f"{judged.words} ({way} is better)", row=1, col=1)
    about = "filled: nothing is both cheaper and better · open: something is · bars: lowest to highest seed"
    if any(not bottom <= point.score <= top for point in points):
        about += " · ✕ at the border: beyond"
    title = f"What it costs{f' · {data}' if data else ''}"
    figure = finish(figure, theme, title=title, about=about, name="pareto", height=420)
    return figure.update_layout(margin={"t": 84}, legend={"y": -0.24})


def front(points: Sequence[Point], cost: str, metric: str) -> list[Point]:
    """The ranked points that no other ranked one beats, the cheapest first; costs that match count as the same."""
    sign = 1 if METRICS[metric].higher else -1
    ranked = [point for point in points if not point.unranked]

    def beaten(point: Point) -> bool:
        dear = getattr(point, cost)
        return any(
            (getattr(other, cost) <= SAME * dear and sign * other.score > sign * point.score)
            or (SAME * getattr(other, cost) < dear and other.score == point.score)
            for other in ranked
        )

    return sorted((point for point in ranked if not beaten(point)), key=lambda point: getattr(point, cost))


def _heights(points: Sequence[Point]) -> tuple[float, float]:
    """What the scores' axis spans: those that have a rank; others may lie beyond."""
    ranked = [point for point in points if not point.unranked] or points
    low, high = min((point.low for point in ranked), default=0.0), max((point.high for point in ranked), default=1.0)
    room = 0.15 * (high - low) or 0.05 * abs(high) or 0.05
    return low - room, high + room


def _axis(points: Sequence[Point], cost: str) -> dict[str, Any]:
    """Logarithmic, with few ticks, and wide enough that points which cost the same lie in the middle."""
    values = [getattr(point, cost) for point in points if getattr(point, cost) > 0]
    if not values or min(values) < min(getattr(point, cost) for point in points):
        return {"rangemode": "tozero"}
    low, high = np.log10(min(values)), np.log10(max(values))
    room = max(0.12 * (high - low), 0.08)
    steps = [low] if high - low < 0.15 else list(np.linspace(low, high, 3))
    return {
        "type": "log", "range": [low - room, high + room], "tickvals": [10**step for step in steps],
        "ticktext": [_short(10**step) for step in steps],
    }  # fmt: skip


def _short(value: float) -> str:
    for limit, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"

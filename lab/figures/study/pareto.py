"""What a score costs: variants against time, FLOPs and state size, and the front that nothing beats in both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.ablate.metric import METRICS
from lab.ablate.wording import short
from lab.figures.study.palette import looks
from lab.figures.theme import FigureError, colours, finish, subplots

COSTS = {
    "seconds": "seconds of training",
    "flops": "FLOPs of training",
    "state_size": "state: numbers per row",
}

MATCHED = {"seconds": 1.05, "flops": 1.01, "state_size": 1.0}  # costs that differ by no more are the same
TICKS = 4  # most that stand on an axis


@dataclass(frozen=True)
class Point:
    """One variant on one data set: the mean score with the lowest and highest of its seeds, and what it costs.

    quickest, slowest: seconds of the quickest and the slowest seed, where they are known. unranked: why it has no place
    on a front, in few words; empty where it has one.
    """

    name: str
    score: float
    low: float
    high: float
    seconds: float
    flops: float
    state_size: float
    unranked: str = ""
    quickest: float | None = None
    slowest: float | None = None


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
                showlegend=False, customdata=[point.score], name=point.name, legendgroup=point.name,
                marker={"color": c.alarm if point.unranked else look.colour, "size": 12, "line": {"width": 2},
                        "symbol": "x-thin-open" if point.unranked else look.symbol if on else f"{look.symbol}-open"},
                error_y={"type": "data", "symmetric": False, "array": [point.high - point.score], "width": 3,
                         "arrayminus": [point.score - point.low], "thickness": 1.2, "visible": not point.unranked},
                hovertemplate=f"<b>{point.name}</b><br>{judged.words} %{{customdata:.4f}}<br>{COSTS[cost]} %{{x:,.4s}}"
                "<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(title_text=COSTS[cost], **_axis(points, cost), row=1, col=column)
    for point in points:
        # The legend shows the mark alone: whether it is filled depends on the panel.
        figure.add_scatter(
            x=[None], y=[None], mode="markers", legendgroup=point.name, row=1, col=1,
            name=f"{point.name} ({point.unranked})" if point.unranked else point.name,
            marker={"color": c.alarm if point.unranked else shades[point.name].colour, "size": 10, "line": {"width": 2},
                    "symbol": "x-thin-open" if point.unranked else shades[point.name].symbol},
        )  # fmt: skip
    way = "higher" if judged.higher else "lower"
    figure.update_yaxes(title_text=f"{judged.words} ({way} is better)", row=1, col=1)
    about = "hollow: another is better for no more, or no worse for less · bars: lowest to highest seed"
    if any(not bottom <= point.score <= top for point in points):
        about += " · ✕ at the border: beyond"
    title = f"What it costs{f' · {data}' if data else ''}"
    figure = finish(figure, theme, title=title, about=about, name="pareto", height=420)
    return figure.update_layout(margin={"t": 84}, legend={"y": -0.24})


def front(points: Sequence[Point], cost: str, metric: str) -> list[Point]:
    """The ranked points that no other ranked one beats, the cheapest first.

    One beats another where it scores better and costs no more, or costs less and scores no worse. Scores whose seeds
    overlap are a tie, and so are costs that were matched, or differ by less than their seeds.
    """
    sign = 1 if METRICS[metric].higher else -1
    ranked = [point for point in points if not point.unranked]

    def better(one: Point, other: Point) -> bool:
        return min(sign * one.low, sign * one.high) > max(sign * other.low, sign * other.high)

    def beats(one: Point, other: Point) -> bool:
        dearer, cheaper = _cheaper(other, one, cost), _cheaper(one, other, cost)
        return (better(one, other) and not dearer) or (cheaper and not better(other, one))

    left = [point for point in ranked if not any(beats(other, point) for other in ranked)]
    return sorted(left, key=lambda point: getattr(point, cost))


def _cheaper(one: Point, other: Point, cost: str) -> bool:
    """Whether the first costs less than the second, and not by chance."""
    if getattr(one, cost) * MATCHED[cost] >= getattr(other, cost):
        return False
    apart = one.slowest is None or other.quickest is None or one.slowest < other.quickest
    return cost != "seconds" or apart


def _heights(points: Sequence[Point]) -> tuple[float, float]:
    """What the scores' axis spans: those that have a rank; others may lie beyond."""
    ranked = [point for point in points if not point.unranked] or points
    low, high = min((point.low for point in ranked), default=0.0), max((point.high for point in ranked), default=1.0)
    room = 0.15 * (high - low) or 0.05 * abs(high) or 0.05
    return low - room, high + room


def _axis(points: Sequence[Point], cost: str) -> dict[str, Any]:
    """Logarithmic, with ticks at 1, 2 and 5 of a decade, wide enough that points which cost the same lie within."""
    values = [getattr(point, cost) for point in points if getattr(point, cost) > 0]
    if not values or min(values) < min(getattr(point, cost) for point in points):
        return {"rangemode": "tozero"}
    ticks = round_numbers(min(values), max(values))
    low, high = np.log10(min(*values, *ticks)), np.log10(max(*values, *ticks))
    room = 0.08 * (high - low)
    return {
        "type": "log", "range": [low - room, high + room], "tickvals": ticks,
        "ticktext": [short(tick) for tick in ticks],
    }  # fmt: skip


def round_numbers(low: float, high: float) -> list[float]:
    """Two to :data:`TICKS` numbers that begin with 1, 2 or 5, among or next to those from ``low`` to ``high``."""
    ladder = [step * 10.0**power for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
              for step in (1, 2, 5)]  # fmt: skip
    inside = [tick for tick in ladder if low <= tick <= high]
    if len(inside) < 2:
        below, above = [tick for tick in ladder if tick < low], [tick for tick in ladder if tick > high]
        return [below[-1], *inside, above[0]]
    decades = [tick for tick in inside if f"{tick:e}".startswith("1")]
    kept = inside if len(inside) <= TICKS else decades if len(decades) > 1 else [inside[0], inside[-1]]
    return kept[:: -(-len(kept) // TICKS)]

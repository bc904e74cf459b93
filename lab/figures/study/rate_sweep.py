"""Which learning rate was taken for each variant, and whether the choice can be trusted: the sweep that led to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from lab.ablate.metric import METRICS
from lab.figures.study.palette import looks
from lab.figures.theme import colours, finish


@dataclass(frozen=True)
class Sweep:
    """The tuning of one variant on one data set: ``scores`` by learning rate, at the step that each was trained to.

    chosen: None while it is not. stopped: rates that went no further, and at which step. diverged: rates whose loss
    was no longer finite. edge: whether the chosen rate is the lowest or highest that was tried.
    """

    name: str
    scores: Mapping[float, float]
    chosen: float | None
    stopped: Mapping[float, int] = field(default_factory=dict)
    diverged: Sequence[float] = ()
    edge: bool = False


def rate_sweep(sweeps: Sequence[Sweep], *, metric: str, data: str = "", theme: str = "light") -> go.Figure:
    """Scores against learning rates, a line for each variant; the large mark is the rate that was taken."""
    c, judged = colours(theme), METRICS[metric]
    figure = go.Figure()
    shades = looks([sweep.name for sweep in sweeps], theme)
    for sweep in sweeps:
        look = shades[sweep.name]
        whole = sorted((rate, score) for rate, score in sweep.scores.items() if rate not in sweep.stopped)
        figure.add_scatter(
            x=[rate for rate, _ in whole], y=[score for _, score in whole], mode="lines+markers", name=sweep.name,
            legendgroup=sweep.name, line={"color": look.colour, "width": 1.8},
            marker={"symbol": look.symbol, "size": [15 if rate == sweep.chosen else 8 for rate, _ in whole],
                    "line": {"color": c.text, "width": [2 if rate == sweep.chosen else 0 for rate, _ in whole]}},
            hovertemplate=f"<b>{sweep.name}</b> · learning rate %{{x:.3g}}<br>{judged.words} %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
        early = sorted((rate, score) for rate, score in sweep.scores.items() if rate in sweep.stopped)
        if early:
            figure.add_scatter(
                x=[rate for rate, _ in early], y=[score for _, score in early], mode="markers", showlegend=False,
                legendgroup=sweep.name, customdata=[sweep.stopped[rate] for rate, _ in early],
                marker={"symbol": f"{look.symbol}-open", "size": 8, "color": look.colour},
                hovertemplate=f"<b>{sweep.name}</b> · learning rate %{{x:.3g}}<br>stopped at step %{{customdata}}, "
                "%{y:.4f}<extra></extra>",
            )  # fmt: skip
        if sweep.edge and sweep.chosen is not None and sweep.chosen in sweep.scores:
            figure.add_annotation(
                x=_log(sweep.chosen), y=sweep.scores[sweep.chosen], text="at the edge", showarrow=True, arrowhead=0,
                ax=0, ay=-34, arrowcolor=c.alarm, font={"color": c.alarm, "size": 11},
            )  # fmt: skip
        for rate in sweep.diverged:
            figure.add_annotation(
                x=_log(rate), y=1, yref="paper", text="✕", showarrow=False, yanchor="top",
                font={"color": look.colour, "size": 14}, hovertext=f"{sweep.name} diverged at {rate:g}",
            )  # fmt: skip
    tried = sorted({rate for sweep in sweeps for rate in (*sweep.scores, *sweep.diverged)})
    figure.update_xaxes(
        title_text="learning rate", type="log", tickvals=tried, ticktext=[f"{rate:g}" for rate in tried]
    )
    way = "higher" if judged.higher else "lower"
    figure.update_yaxes(title_text=f"{judged.words} ({way} is better)")
    about = "large: taken · hollow: stopped early · ✕: diverged · the seed of these trials is none of the study's"
    title = f"Learning rates tried{f' · {data}' if data else ''}"
    return finish(figure, theme, title=title, about=about, name="rate_sweep", height=400)


def _log(rate: float | None) -> float:
    """Where an annotation stands on a logarithmic axis."""
    return math.log10(rate or 1.0)

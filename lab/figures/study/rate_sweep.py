"""Which learning rate was taken for each variant, and whether the choice can be trusted: the sweep that led to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from lab.ablate.metric import METRICS
from lab.figures.study.palette import Look, looks
from lab.figures.theme import Colours, colours, finish


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
        _draw(figure, sweep, shades[sweep.name], judged.words, c)
    stops = sorted({step for sweep in sweeps for step in sweep.stopped.values()})
    if stops:
        figure.add_scatter(
            x=[None], y=[None], mode="markers+lines", line={"color": c.muted, "width": 1, "dash": "dot"},
            marker={"symbol": "circle-open", "size": 8}, name=f"stopped early, at step {', '.join(map(str, stops))}",
        )  # fmt: skip
    for rate in sorted({sweep.chosen for sweep in sweeps if sweep.edge and sweep.chosen is not None}):
        # One label for all that lie there, and where it stands in the way of none.
        at = [sweep.name for sweep in sweeps if sweep.edge and sweep.chosen == rate]
        highest = rate == max(max(sweep.scores, default=rate) for sweep in sweeps)
        figure.add_annotation(
            x=_log(rate), y=1, yref="paper", yanchor="bottom", yshift=2, xanchor="right" if highest else "left",
            showarrow=False, text=f"at the edge: {', '.join(at)}", font={"color": c.alarm, "size": 11},
        )  # fmt: skip
    tried = sorted({rate for sweep in sweeps for rate in (*sweep.scores, *sweep.diverged)})
    figure.update_xaxes(
        title_text="learning rate", type="log", tickvals=tried, ticktext=[f"{rate:g}" for rate in tried]
    )
    way = "higher" if judged.higher else "lower"
    figure.update_yaxes(title_text=f"{judged.words} ({way} is better)")
    about = "large: taken · hollow: stopped early · ✕: diverged · with a seed that is none of the study's"
    title = f"Learning rates tried{f' · {data}' if data else ''}"
    figure = finish(figure, theme, title=title, about=about, name="rate_sweep", height=420)
    return figure.update_layout(margin={"t": 98})


def _draw(figure: go.Figure, sweep: Sweep, look: Look, words: str, c: Colours) -> None:
    """Whole trainings on a line, those that were stopped early hollow and on thin dots, and what diverged."""
    scored = sorted(sweep.scores.items())
    whole = [(rate, score) for rate, score in scored if rate not in sweep.stopped]
    early = [(rate, score) for rate, score in scored if rate in sweep.stopped]
    if early and len(scored) > 1:
        figure.add_scatter(
            x=[rate for rate, _ in scored], y=[score for _, score in scored], mode="lines", showlegend=False,
            legendgroup=sweep.name, line={"color": look.colour, "width": 1, "dash": "dot"}, hoverinfo="skip",
        )  # fmt: skip
    figure.add_scatter(
        x=[rate for rate, _ in whole], y=[score for _, score in whole], name=sweep.name, legendgroup=sweep.name,
        # A line is drawn, and stands in the legend, where it joins anything.
        mode="lines+markers" if len(whole) > 1 else "markers", line={"color": look.colour, "width": 1.8},
        marker={"symbol": look.symbol, "size": [15 if rate == sweep.chosen else 8 for rate, _ in whole],
                "color": look.colour,
                "line": {"color": c.text, "width": [2 if rate == sweep.chosen else 0 for rate, _ in whole]}},
        hovertemplate=f"<b>{sweep.name}</b> · learning rate %{{x:.3g}}<br>{words} %{{y:.4f}}<extra></extra>",
    )  # fmt: skip
    if early:
        figure.add_scatter(
            x=[rate for rate, _ in early], y=[score for _, score in early], mode="markers", showlegend=False,
            legendgroup=sweep.name, customdata=[sweep.stopped[rate] for rate, _ in early],
            marker={"symbol": f"{look.symbol}-open", "size": 8, "color": look.colour},
            hovertemplate=f"<b>{sweep.name}</b> · learning rate %{{x:.3g}}<br>stopped at step %{{customdata}}, "
            "%{y:.4f}<extra></extra>",
        )  # fmt: skip
    for rate in sweep.diverged:
        figure.add_annotation(
            x=_log(rate), y=1, yref="paper", text="✕", showarrow=False, yanchor="top",
            font={"color": look.colour, "size": 14}, hovertext=f"{sweep.name} diverged at {rate:g}",
        )  # fmt: skip


def _log(rate: float | None) -> float:
    """Where an annotation stands on a logarithmic axis."""
    return math.log10(rate or 1.0)

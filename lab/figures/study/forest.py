"""The verdicts of a study at a glance: gains with their intervals, beside the margin within which all are equal."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from lab.ablate.metric import METRICS
from lab.ablate.verdict import BETTER, EQUAL, UNRANKED, WORSE, Verdict, briefly, margin
from lab.figures.study.palette import faint
from lab.figures.theme import Colours, colours, finish, subplots

ROW, HEAD = 36, 62  # pixels of a verdict, and of a panel's title and axis
NARROW_ROW = 62  # of a verdict whose words stand above its line


def forest(verdicts: Sequence[Verdict], *, delta: float, narrow: bool = False, theme: str = "light") -> go.Figure:
    """One row per comparison, one panel per data set: mean gain over seeds, its 95 % interval, the verdict in words.

    To the right of 0 the variant is better than the reference. ``delta``: the margin, a share as the gains are.
    narrow: names and words stand above the lines, for screens without room beside them.
    """
    c, height = colours(theme), NARROW_ROW if narrow else ROW
    by_data = {data: [one for one in verdicts if one.data == data] for data in dict.fromkeys(v.data for v in verdicts)}
    rows = max(1, len(by_data))
    inner = sum(height * len(group) for group in by_data.values()) + HEAD * (rows - 1)
    figure = subplots(
        rows, 1, [f"<b>{data}</b>" for data in by_data] or [""], row_heights=[len(group) for group in by_data.values()]
        or [1], vertical_spacing=HEAD / max(inner, 1) if rows > 1 else 0,
    )  # fmt: skip
    for title in figure.layout.annotations:  # type: ignore[attr-defined]
        title.update(x=0, xanchor="left")
    for place, group in enumerate(by_data.values(), start=1):
        _panel(figure, place, group, delta, c, narrow)
    references = " and ".join(dict.fromkeys(verdict.reference for verdict in verdicts))
    within = " or ".join(dict.fromkeys(margin(delta, METRICS[verdict.metric]) for verdict in verdicts))
    about = [f"gain over {references}", f"shaded: within {within}", "line: 95 % interval", "bar: bootstrap"]
    title = "Who is better, and how sure is that"
    lines = [about[:2], about[2:]] if narrow else [about]
    said = "<br>".join(" · ".join(line) for line in lines)
    figure = finish(figure, theme, title=title, about=said, name="forest", height=inner + (196 if narrow else 178))
    return figure.update_layout(margin={"t": 130 if narrow else 112, "r": 12 if narrow else 250}, showlegend=False)


def _panel(figure: go.Figure, place: int, group: Sequence[Verdict], delta: float, c: Colours, narrow: bool) -> None:
    """One data set, on its own scale."""
    where: dict[str, Any] = {"row": place, "col": 1}
    low, high = span(group, delta)
    # A rectangle's ends lie on the data, whatever the panel.
    margin = [-100 * delta, 100 * delta, 100 * delta, -100 * delta]
    top = 0.75 if narrow else 0.5
    bottom = top - len(group)
    figure.add_scatter(
        x=margin, y=[bottom, bottom, top, top], fill="toself", fillcolor=faint(c.experts[0], 0.15), mode="lines",
        line={"width": 0}, hoverinfo="skip", **where,
    )  # fmt: skip
    figure.add_scatter(
        x=[0, 0], y=[bottom, top], mode="lines", line={"color": c.muted, "width": 1}, hoverinfo="skip", **where
    )
    for row, verdict in enumerate(group):
        if verdict.gain is not None:
            _draw(figure, -row, verdict, (low, high), c, where)
        figure.add_annotation(
            x=low if narrow else high, y=-row, xref=f"x{place if place > 1 else ''}",
            yref=f"y{place if place > 1 else ''}", xshift=0 if narrow else 12, yshift=8 if narrow else 0,
            yanchor="bottom" if narrow else "middle", xanchor="left", align="left", showarrow=False,
            text=f"<b>{verdict.variant}</b><br>{_brief(verdict)}" if narrow else _words(verdict, "<br>"),
            font={"color": c.text if verdict.word in (BETTER, WORSE, EQUAL) else c.muted, "size": 12},
        )  # fmt: skip
    unit = "points of accuracy" if METRICS[group[0].metric].absolute else f"% of {METRICS[group[0].metric].words}"
    figure.update_xaxes(range=[low, high], title_text=f"gain, {unit}: right is better", **where)
    figure.update_yaxes(
        tickvals=[-row for row in range(len(group))], showgrid=False, showticklabels=not narrow,
        ticktext=[verdict.variant for verdict in group], range=[bottom, top], tickfont={"color": c.text, "size": 13},
        ticklabelstandoff=6, **where,
    )  # fmt: skip


def span(group: Sequence[Verdict], delta: float) -> tuple[float, float]:
    """What the axis spans, times 100: the margin, and the intervals of all that have a rank."""
    ends = [-1.6 * delta, 1.6 * delta]
    for verdict in group:
        if verdict.word != UNRANKED:
            ends += [end for end in (verdict.low, verdict.high, verdict.gain) if end is not None]
    room = 0.06 * (max(ends) - min(ends))
    return 100 * (min(ends) - room), 100 * (max(ends) + room)


def _draw(
    figure: go.Figure, y: int, verdict: Verdict, ends: tuple[float, float], c: Colours, where: dict[str, Any]
) -> None:
    """A verdict's marks: the interval, the bootstrap's behind it, and the mean."""
    colour, symbol = {
        BETTER: (c.experts[2], "triangle-right"), WORSE: (c.experts[1], "triangle-left"),
        EQUAL: (c.experts[0], "square"), UNRANKED: (c.alarm, "x-thin-open"),
    }.get(verdict.word, (c.muted, "circle-open"))  # fmt: skip
    gain = 100 * (verdict.gain or 0.0)
    if verdict.word != UNRANKED:
        interval = None if verdict.low is None or verdict.high is None else (verdict.low, verdict.high)
        for pair, width, shade in ((verdict.bootstrap, 9, faint(colour, 0.35)), (interval, 2, colour)):
            if pair is not None:
                figure.add_scatter(
                    x=[100 * end for end in pair], y=[y, y], mode="lines", line={"color": shade, "width": width},
                    hoverinfo="skip", **where,
                )  # fmt: skip
    figure.add_scatter(
        # What has no rank may lie far outside; then it stands at the end of the axis.
        x=[min(max(gain, ends[0]), ends[1])], y=[y], mode="markers", cliponaxis=False,
        marker={"color": colour, "size": 11, "symbol": symbol, "line": {"color": colour, "width": 2}},
        hovertemplate=f"{_broken(verdict.sentence)}<extra></extra>", **where,
    )  # fmt: skip


def _words(verdict: Verdict, between: str) -> str:
    """The verdict, and what goes with it: beside a word that settles, else after ``between``."""
    word, more = briefly(verdict)
    if verdict.word in (BETTER, WORSE, EQUAL):
        return f"<b>{word}</b> {more}"
    return f"{word}{between}{more}" if more else word


def _brief(verdict: Verdict) -> str:
    """In one line; what further seeds would show is left to the label."""
    return _words(verdict, ", ").partition(" to say ")[0]


def _broken(sentence: str, width: int = 70) -> str:
    """A sentence in lines that fit a hover label."""
    lines = [""]
    for word in sentence.split(" "):
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)

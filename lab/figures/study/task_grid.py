"""Which variant can do what: a grid of scores, with what counts for nothing hatched, and what cheats named."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import plotly.graph_objects as go

from lab.ablate.metric import METRICS
from lab.ablate.verdict import BETTER, EQUAL, UNRANKED, VOID, WORSE
from lab.ablate.wording import digits, spread
from lab.figures.study.palette import faint
from lab.figures.theme import colours, finish

REFERENCE = "reference"


@dataclass(frozen=True)
class Square:
    """A variant on a data set: its mean score, the standard deviation over seeds, their scores, and what came of it.

    word: one of `lab.ablate.verdict.WORDS`, or "reference". reason: a sentence where the score counts for nothing.
    """

    variant: str
    data: str
    metric: str
    score: float | None
    sd: float | None
    scores: tuple[float, ...]
    word: str
    reason: str = ""

    def says(self) -> str:
        """The score with its spread over seeds, or what stands in its place."""
        if self.score is None:
            return self.word
        return f"{self.score:.{digits(self.sd)}f}{spread(self.score, self.sd, self.scores, self.metric)}"


def task_grid(squares: Sequence[Square], *, theme: str = "light") -> go.Figure:
    """Variants down, data across. Coloured is only what has been settled; grey says nothing about better or worse."""
    c = colours(theme)
    fills = {
        BETTER: faint(c.experts[2], 0.32), WORSE: faint(c.experts[1], 0.32), EQUAL: faint(c.experts[0], 0.22),
        REFERENCE: faint(c.muted, 0.26),
    }  # fmt: skip
    variants = list(dict.fromkeys(square.variant for square in squares))
    data = list(dict.fromkeys(square.data for square in squares))
    notes = reasons(squares)
    figure = go.Figure()
    figure.add_bar(
        orientation="h", base=[data.index(square.data) + 0.02 for square in squares], x=[0.96] * len(squares),
        y=[-variants.index(square.variant) for square in squares], width=0.9,
        marker={
            "color": [fills.get(square.word, faint(c.muted, 0.08)) for square in squares],
            "line": {"width": [1.5 if square.word == UNRANKED else 0 for square in squares], "color": c.alarm},
            "pattern": {
                "shape": ["/" if square.word == VOID else "" for square in squares], "size": 8, "solidity": 0.15,
                # Laid over, plotly would look for a contrast to all colours at once, and complain.
                "fillmode": "replace", "fgcolor": faint(c.muted, 0.4), "bgcolor": faint(c.muted, 0.08),
            },
        },
        text=[_text(square, notes) for square in squares], textposition="inside", insidetextanchor="middle",
        textfont={"color": c.text, "size": 12}, constraintext="none",
        hovertext=[_hover(square) for square in squares], hoverinfo="text",
    )  # fmt: skip
    across = {"range": [0, len(data)], "tickvals": [place + 0.5 for place in range(len(data))]}
    figure.update_xaxes(**across, ticktext=[_wrapped(name) for name in data], side="top", showgrid=False)
    figure.update_xaxes(tickfont={"color": c.text, "size": 12}, tickangle=0)
    down = {"range": [-len(variants) + 0.5, 0.5], "tickvals": [-place for place in range(len(variants))]}
    figure.update_yaxes(**down, ticktext=variants, showgrid=False, tickfont={"color": c.text, "size": 13})
    said = "<br>".join("<br>".join(wrap(f"{_mark(number)} {reason}", 88)) for reason, number in notes.items())
    if said:
        figure.add_annotation(
            x=0, xref="paper", y=0, yref="paper", yshift=-10, yanchor="top", xanchor="left", text=said,
            showarrow=False, align="left", font={"color": c.muted, "size": 12},
        )  # fmt: skip
    below = 18 * (said.count("<br>") + 1) if said else 0
    above = 94 + 18 * max((_wrapped(name).count("<br>") + 1 for name in data), default=1)
    lines = max((_text(square, notes).count("<br>") for square in squares), default=1)
    height = above + 24 + (30 + 16 * lines) * len(variants) + below
    about = "mean ± sd over seeds, or their scores · green better, orange worse, blue equal, grey not settled"
    figure = finish(figure, theme, title="Who can do what", about=about, name="task_grid", height=height)
    return figure.update_layout(showlegend=False, bargap=0, margin={"t": above, "b": 24 + below, "r": 12})


def reasons(squares: Sequence[Square]) -> dict[str, int]:
    """The reasons for which scores count for nothing, numbered from 1."""
    found = dict.fromkeys(square.reason for square in squares if square.reason)
    return {reason: number for number, reason in enumerate(found, start=1)}


def _text(square: Square, notes: dict[str, int]) -> str:
    mark = f" {_mark(notes[square.reason])}" if square.reason else ""
    if square.score is None:
        return f"{square.word}{mark}"
    word = {UNRANKED: "reads the future", REFERENCE: "reference", VOID: "void"}.get(square.word, square.word)
    mean, bracket, seeds = square.says().partition(" (")
    # The scores of the seeds below the mean: side by side they would not fit.
    return f"<b>{mean}</b>{f'<br>{seeds[:-1]}' if bracket else ''}<br>{word}{mark}"


def _hover(square: Square) -> str:
    words = METRICS[square.metric].words
    reason = f"<br>{square.reason}" if square.reason else ""
    return f"<b>{square.variant}</b> on {square.data}<br>{words} {square.says()}<br>{square.word}{reason}"


def _mark(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(number))


def _wrapped(name: str) -> str:
    """A data name with its arguments below it."""
    head, colon, rest = name.partition(":")
    return f"{head}<br>{rest}" if colon else head

"""The figures that results ask for: which there are, of what, their numbers, and the code that redraws them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lab.ablate.results import CellResult, Results, Row
from lab.ablate.verdict import VOID
from lab.figures.study.bands import Trail, loss_bands
from lab.figures.study.captions import CAPTIONS
from lab.figures.study.forest import forest
from lab.figures.study.pareto import Point, pareto
from lab.figures.study.rate_sweep import Sweep, rate_sweep
from lab.figures.study.tables import table
from lab.figures.study.task_grid import REFERENCE, Square, task_grid

FIGURES: dict[str, Callable[..., go.Figure]] = {
    made.__name__: made for made in (forest, task_grid, loss_bands, pareto, rate_sweep)
}
LEAKS = "reads the future"


@dataclass(frozen=True)
class View:
    """A figure of a study, not drawn yet: its name in :data:`FIGURES`, the data set it is of, and its arguments."""

    name: str
    data: str
    args: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """What it shows and how it is read."""
        return CAPTIONS[self.name]

    def figure(self, theme: str = "light", **more: Any) -> go.Figure:
        """Draw it; ``more`` goes to the function that does."""
        return FIGURES[self.name](*self.args, **self.options, theme=theme, **more)

    def numbers(self) -> pd.DataFrame:
        """Its numbers."""
        return table(self.name, *self.args, **self.options)

    def code(self, folder: str) -> str:
        """Python that draws it again from the study's folder."""
        chosen = f", data={self.data!r}" if self.data else ""
        return (
            "from lab.ablate.results import Results\nfrom lab.ablate.views import view\n\n"
            f"view(Results.read({folder!r}), {self.name!r}{chosen}).figure().show()"
        )


def views(results: Results, *, along: str = "step") -> list[View]:
    """All figures that the results can fill, those about the whole study first; ``along`` is of the loss curves."""
    found = [
        View("forest", "", (results.verdicts,), {"delta": results.study["delta"]}),
        View("task_grid", "", (squares(results),)),
    ]
    for data in dict.fromkeys(row.data for row in results.rows):
        metric, floor = _of(results, data)[0].metric, _floor(results, data)
        if drawn := trails(results, data):
            found.append(View("loss_bands", data, (drawn,), {"data": data, "along": along, "floor": floor}))
        if drawn := points(results, data):
            found.append(View("pareto", data, (drawn,), {"data": data, "metric": metric}))
        if drawn := sweeps(results, data):
            found.append(View("rate_sweep", data, (drawn,), {"data": data, "metric": metric}))
    return found


def view(results: Results, name: str, *, data: str = "", along: str = "step") -> View:
    """One of them; raises ``KeyError`` where there is none of that name and data set."""
    for one in views(results, along=along):
        if one.name == name and data in ("", one.data):
            return one
    raise KeyError((name, data))


def trails(results: Results, data: str) -> list[Trail]:
    """How each variant learned; of those that nobody has trained yet there is none."""
    found = []
    for row in _of(results, data):
        cells = [cell for cell in results.finals(row.variant, data) if cell.training]
        if not cells:
            continue
        pace = [cell.seconds / cell.step for cell in cells if cell.step]
        found.append(
            Trail(
                row.variant, _shared([cell.training for cell in cells]), _shared([cell.curve for cell in cells]),
                row.flops / row.steps, float(np.mean(pace)) if pace else 0.0, "" if row.causal else LEAKS,
            )
        )  # fmt: skip
    return found


def points(results: Results, data: str) -> list[Point]:
    """What each variant reached and what it cost; void ones are left out."""
    found = []
    for row in _of(results, data):
        if row.mean is None or row.void:
            continue
        seconds = [cell.seconds for cell in results.finals(row.variant, data) if cell.state == "done"]
        found.append(
            Point(
                row.variant, row.mean, min(row.scores.values()), max(row.scores.values()), row.seconds or 0.0,
                float(row.flops), float(row.state_size), "" if row.causal else LEAKS,
                min(seconds, default=None), max(seconds, default=None),
            )
        )  # fmt: skip
    return found


def squares(results: Results) -> list[Square]:
    """Every variant on every data set, and what it came to."""
    found = []
    for row in results.rows:
        verdict = results.verdict(row.variant, row.data)
        word = VOID if row.void else REFERENCE if verdict is None else verdict.word
        reason = row.void or (verdict.sentence if verdict is not None and word == VOID else "")
        found.append(
            Square(row.variant, row.data, row.metric, row.mean, row.sd, tuple(row.scores.values()), word, reason)
        )
    return found


def sweeps(results: Results, data: str) -> list[Sweep]:
    """Which learning rates were tried for each variant; none where none was tuned."""
    found = []
    for row in _of(results, data):
        tried = [cell for cell in results.cells if (cell.variant, cell.data, cell.stage) == (row.variant, data, "tune")]
        scored = {cell.learning_rate: score for cell in tried if (score := _score(cell, row.metric)) is not None}
        if tried:
            found.append(
                Sweep(
                    row.variant, scored, row.learning_rate,
                    {cell.learning_rate: cell.step for cell in tried if cell.state == "stopped"},
                    [cell.learning_rate for cell in tried if cell.state == "diverged"], bool(row.edge),
                )
            )  # fmt: skip
    return found


def _of(results: Results, data: str) -> list[Row]:
    return [row for row in results.rows if row.data == data]


def _floor(results: Results, data: str) -> float | None:
    return next((row.floor for row in _of(results, data) if row.floor is not None), None)


def _score(cell: CellResult, metric: str) -> float | None:
    """What a trial reached at its last evaluation; None where it diverged."""
    return None if cell.state == "diverged" else getattr(cell, metric)


def _shared(curves: Sequence[Sequence[Sequence[float]]]) -> tuple[list[float], np.ndarray]:
    """The steps that all seeds have reached, and the losses (seeds, steps) there."""
    both = set.intersection(*({point[0] for point in curve} for curve in curves))
    steps = sorted(both)
    losses = [[dict((point[0], point[1]) for point in curve)[step] for step in steps] for curve in curves]
    return steps, np.array(losses, dtype=float)

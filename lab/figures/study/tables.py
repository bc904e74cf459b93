"""The numbers of a study's figures as tables: the text alternative, and what "save as CSV" saves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lab.ablate.verdict import Verdict
from lab.figures.study.bands import ALONG, Trail
from lab.figures.study.pareto import COSTS, Point, front
from lab.figures.study.rate_sweep import Sweep
from lab.figures.study.task_grid import Square
from lab.figures.theme import FigureError


def table(name: str, *args: Any, **options: Any) -> pd.DataFrame:
    """The numbers of the figure ``name``, chosen by the same arguments."""
    if name not in TABLES:
        raise FigureError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
    return TABLES[name](*args, **{key: value for key, value in options.items() if key != "theme"})


def forest(verdicts: Sequence[Verdict], *, delta: float) -> pd.DataFrame:
    """One line per comparison; gains and intervals are shares, of the reference's mean or of accuracy."""
    del delta
    lines = []
    for one in verdicts:
        low, high = one.bootstrap or (None, None)
        lines.append({
            "data": one.data, "variant": one.variant, "reference": one.reference, "metric": one.metric,
            "verdict": one.word, "seeds": one.seeds, "gain": one.gain, "low": one.low, "high": one.high,
            "own sd": one.own_sd, "sd believed": one.sd, "bootstrap low": low, "bootstrap high": high, "p": one.p,
            "p, corrected": one.p_corrected, "p of equality, corrected": one.p_equality_corrected,
            "Hedges g": one.effect, "further seeds": one.further_seeds, "to say": one.further_for,
        })  # fmt: skip
    return pd.DataFrame(lines)


def loss_bands(
    trails: Sequence[Trail], *, data: str = "", along: str = "step", floor: float | None = None
) -> pd.DataFrame:
    """One line per variant, kind of loss and step: mean, lowest and highest over seeds, and the floor if known."""
    del data
    parts = []
    for trail in trails:
        for kind, (steps, losses) in (("training", trail.training), ("validation", trail.validation)):
            if np.size(losses):
                values = np.asarray(losses, dtype=float)
                made = {"variant": trail.name, "loss": kind, "step": steps, ALONG[along]: trail.places(along, steps)}
                made |= {"mean": values.mean(0), "lowest": values.min(0), "highest": values.max(0)}
                parts.append(pd.DataFrame(made if floor is None else {**made, "floor": floor}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["variant", "loss", "step"])


def pareto(
    points: Sequence[Point], *, metric: str, data: str = "", costs: Sequence[str] = tuple(COSTS)
) -> pd.DataFrame:
    """One line per variant: its score, its costs, and on which fronts it lies."""
    del data
    fronts = {cost: front(points, cost, metric) for cost in costs}
    return pd.DataFrame([
        {
            "variant": point.name, metric: point.score, "lowest": point.low, "highest": point.high,
            **{COSTS[cost]: getattr(point, cost) for cost in costs},
            "on the front of": ", ".join(cost for cost, line in fronts.items() if point in line),
            "no rank": point.unranked,
        }
        for point in points
    ])  # fmt: skip


def task_grid(squares: Sequence[Square]) -> pd.DataFrame:
    """One line per variant and data set: score, sd over seeds, their scores, what came of it, why it may not count."""
    return pd.DataFrame([
        {
            "variant": square.variant, "data": square.data, "metric": square.metric, "score": square.score,
            "sd": square.sd, "seeds": " ".join(f"{one:.6g}" for one in square.scores), "came to": square.word,
            "reason": square.reason,
        }
        for square in squares
    ])  # fmt: skip


def rate_sweep(sweeps: Sequence[Sweep], *, metric: str, data: str = "") -> pd.DataFrame:
    """One line per variant and learning rate: its score, and whether it was taken, stopped early, or diverged."""
    del data
    lines = []
    for sweep in sweeps:
        for rate in sorted({*sweep.scores, *sweep.diverged}):
            fate = (
                ("taken, at the edge" if sweep.edge else "taken") if rate == sweep.chosen
                else "diverged" if rate in sweep.diverged
                else f"stopped at step {sweep.stopped[rate]}" if rate in sweep.stopped
                else ""
            )  # fmt: skip
            lines.append({"variant": sweep.name, "learning rate": rate, metric: sweep.scores.get(rate), "fate": fate})
    return pd.DataFrame(lines)


TABLES: dict[str, Callable[..., pd.DataFrame]] = {
    made.__name__: made for made in (forest, loss_bands, pareto, task_grid, rate_sweep)
}

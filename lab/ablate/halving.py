"""Which learning rate goes on: all to the end, or by successive halving, then wider ones while the best is at an edge.

Never of seeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lab.ablate.cells import Record
from lab.ablate.metric import METRICS, metric_of
from lab.ablate.study import StudyError
from strawberry.events import Evaluated


@dataclass(frozen=True)
class Standing:
    """How far the tuning of one variant on one data set is.

    targets: learning rate -> the step that it is to be trained to now. stopped: those that went no further, and the
    step. chosen: the best of all, once nothing is left to train; None before, and where every rate diverged.
    """

    targets: dict[float, int]
    stopped: dict[float, int]
    chosen: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to train."""
        return not self.targets


def standing(records: Mapping[float, Record], steps: int, eval_every: int, factor: int) -> Standing:
    """What the records of all learning rates of a variant say is to be done; depends on nothing else, so that workers
    that come and go decide alike. ``factor`` 0 trains every rate to the end.
    """
    alive = {rate: record for rate, record in records.items() if not record.diverged}
    stopped: dict[float, int] = {}
    for rung in rungs(len(records), steps, eval_every, factor):
        behind = {rate: rung for rate, record in alive.items() if not record.reached(rung)}
        if behind:
            return Standing(behind, stopped)
        kept = promoted({rate: record.evaluated[rung] for rate, record in alive.items()}, factor)
        stopped |= {rate: rung for rate in alive if rate not in kept}
        alive = {rate: record for rate, record in alive.items() if rate in kept}
    behind = {rate: steps for rate, record in alive.items() if not record.done}
    if behind or not alive:
        return Standing(behind, stopped)
    ends = {rate: record.evaluated[steps] for rate, record in alive.items()}
    return Standing({}, stopped, min(ends, key=lambda rate: _key(ends[rate])))


def search(
    rates: Sequence[float], look: Callable[[float], Record], steps: int, eval_every: int, factor: int, widen: int
) -> tuple[list[float], Standing]:
    """The learning rates tried, lowest first, and how far their tuning is.

    Those in ``rates`` are thinned among themselves. While the best lies at an edge, up to ``widen`` further ones come
    one by one, as far from it as its neighbour is; each must beat the best so far, at the last rung and at the end.
    ``look`` gives the record of a rate.
    """
    tried, rung = sorted(rates), ([steps, *rungs(len(rates), steps, eval_every, factor)])[-1]
    stood = standing({rate: look(rate) for rate in tried}, steps, eval_every, factor)
    for _ in range(widen if len(tried) > 1 else 0):
        best = stood.chosen
        if best is None or not (side := edge(tried, best, look(best))):
            break
        neighbour = tried[1] if side == "lowest" else tried[-2]
        further = float(f"{best * best / neighbour:.2g}")
        tried = sorted([*tried, further])
        stood = _challenged(stood, best, look(best), further, look(further), rung, steps)
    return tried, stood


def _challenged(
    stood: Standing, best: float, known: Record, further: float, record: Record, rung: int, steps: int
) -> Standing:
    """How the tuning stands when a further rate is tried against the best so far."""
    if record.diverged:
        return stood
    for step in (rung, steps):
        if not (record.done if step == steps else record.reached(step)):
            return Standing({further: step}, stood.stopped)
        if _key(record.evaluated[step]) >= _key(known.evaluated[step]):
            stopped = stood.stopped if step == steps else stood.stopped | {further: step}
            return Standing({}, stopped, best)
    return Standing({}, stood.stopped, further)


def edge(rates: Sequence[float], chosen: float, record: Record) -> str:
    """Where the chosen rate lies among those tried: ``lowest``, ``highest`` (a better one may lie beyond), or empty.

    Where nothing can be better, because all answers are right to the resolution of accuracy, there is no edge.
    """
    if len(rates) < 2:
        return ""
    end = record.last
    if end is not None and end.accuracy is not None and end.accuracy >= 1 - METRICS["accuracy"].resolution:
        return ""
    return {min(rates): "lowest", max(rates): "highest"}.get(chosen, "")


def rungs(rates: int, steps: int, eval_every: int, factor: int) -> list[int]:
    """The steps at which learning rates are thinned by ``factor``, so that about one of them is left: evaluated steps,
    the last of them at a ``factor``-th of the whole."""
    if factor < 2 or rates < 2:
        return []
    depth = max(1, int(math.log(rates) / math.log(factor) + 1e-9))
    found = [-(-steps // factor ** (depth - rung) // eval_every) * eval_every for rung in range(depth)]
    return sorted({max(step, eval_every) for step in found if step < steps})


def promoted(evaluated: Mapping[float, Evaluated], factor: int) -> set[float]:
    """The learning rates that optuna's ``SuccessiveHalvingPruner`` lets go on, given what all of them reached.

    The pruner was made for trials that come one by one: each is asked about last, when it knows all others, so that
    the answer does not depend on who came first.
    """
    return _promoted(tuple(sorted(evaluated, key=lambda rate: _key(evaluated[rate]))), factor)


@lru_cache(maxsize=1024)
def _promoted(order: tuple[float, ...], factor: int) -> set[float]:
    optuna = _optuna()
    asked = {rate: [*(one for one in order if one != rate), rate] for rate in order}
    return {rate for rate in order if not _pruned(optuna, asked[rate], order, factor)}


def _pruned(optuna: Any, asked: list[float], order: tuple[float, ...], factor: int) -> bool:
    """What the pruner says of the last of those that are asked about; ``order`` is from the best to the worst."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor)
    study = optuna.create_study(pruner=pruner, direction="minimize")
    pruned = False
    for rate in asked:
        trial = study.ask()
        trial.report(float(order.index(rate)), step=1)
        pruned = trial.should_prune()
    return pruned


def _key(evaluated: Evaluated) -> tuple[float, float]:
    """Small is good: the metric, and where that is the same, as accuracies at 1 are, the loss."""
    metric = metric_of(evaluated)
    value = getattr(evaluated, metric.name)
    return (-value if metric.higher else value), evaluated.loss


def check() -> None:
    """Raise :class:`StudyError` when optuna is not installed."""
    _optuna()


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise StudyError(
            "halving needs optuna, which is not installed: pip install 'strawberry-lab[sweep]', or set halving to 0"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna

"""One training of a study: its name, its run folder, what that folder tells, and how it is trained on from there."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lab.ablate.budget import Matched
from lab.ablate.study import Study
from strawberry.config import Config
from strawberry.eventlog import read_events
from strawberry.events import Evaluated, Finished, Saved, Step, Warned
from strawberry.learner import DivergedError
from strawberry.resume import FREE
from strawberry.runs import CONFIG, EVENTS
from strawberry.train import Trainer

TUNE, FINAL = "tune", "final"
_NOT_FINITE = "is not finite"


@dataclass(frozen=True)
class Cell:
    """A variant on a data set with one learning rate and one seed; ``stage`` is "tune" or "final"."""

    data: str
    variant: str
    rate: float
    seed: int
    stage: str
    steps: int
    eval_every: int
    eval_batches: int
    config: Config
    name: str


@dataclass(frozen=True)
class Record:
    """What a cell's folder tells: the last step, the evaluations by step, and how it ended.

    saved: step of the newest checkpoint that was told of. done: trained to the last step, and sound there. diverged: a
    sentence, if the loss of training or of validation was no longer finite. seconds: spent in steps. losses: (step,
    training loss) of every step. loads: each router's share of assignments per expert, mean of the last tenth of steps.
    """

    step: int = 0
    evaluated: dict[int, Evaluated] = field(default_factory=dict)
    saved: int = 0
    done: bool = False
    diverged: str = ""
    seconds: float = 0.0
    tokens: int = 0
    losses: tuple[tuple[int, float], ...] = ()
    warnings: tuple[str, ...] = ()
    loads: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        return self.done or bool(self.diverged)

    @property
    def last(self) -> Evaluated | None:
        """The evaluation after the last step, once the cell is done."""
        return self.evaluated.get(self.step) if self.done else None

    def reached(self, step: int) -> bool:
        """Whether ``step`` is evaluated and safe on the disk."""
        return step in self.evaluated and (self.done or self.saved >= step)


def cell(study: Study, budget: Matched, variant: str, data: str, rate: float, seed: int, stage: str) -> Cell:
    """The cell of a study; its name is the same as long as nothing changes that its numbers depend on."""
    config = budget.config.replace(learning_rate=rate, seed=seed)
    every = evaluations(budget.steps, study.evaluations)
    plain = Config().to_dict()
    # What is as ever is left out, so that a field which Config gains later renames nothing.
    told = {name: value for name, value in config.to_dict().items() if value != plain[name] and name not in FREE}
    made = [data, budget.steps, every, study.eval_batches, study.threads, told]
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:10]
    name = f"{_slug(data)}.{_slug(variant)}.lr{rate:g}.s{seed}-{digest}"
    return Cell(data, variant, rate, seed, stage, budget.steps, every, study.eval_batches, config, name)


def evaluations(steps: int, count: int) -> int:
    """Steps between two of about ``count`` evaluations."""
    return max(1, -(-steps // count))


def read(folder: Path) -> Record:
    """What a cell's folder tells now; an empty record where there is none."""
    path = folder / EVENTS
    try:
        found = path.stat()
    except OSError:
        return Record()
    # Of each file only the newest reading is kept: a training is looked at many times.
    version = found.st_mtime_ns, found.st_size
    known = _known.get(path)
    if known is None or known[0] != version:
        known = _known[path] = version, _read(path)
    return known[1]


_known: dict[Path, tuple[tuple[int, int], Record]] = {}


def _read(path: Path) -> Record:
    step, saved, seconds, tokens, done, diverged, broken = 0, 0, 0.0, 0, False, "", ""
    evaluated: dict[int, Evaluated] = {}
    losses, loads, warnings = [], [], []
    for event in read_events(path)[0]:
        match event:
            case Step():
                step, seconds, tokens = event.step, event.seconds, event.tokens
                losses.append((event.step, event.loss))
                loads.append(event.loads)
            case Evaluated():
                if math.isfinite(event.loss):
                    evaluated[event.step] = event
                else:
                    broken = broken or f"the validation loss of step {event.step} is not finite"
            case Saved():
                saved = event.step
            case Warned():
                warnings.append(event.message)
            case Finished():
                done = done or event.reason == "done"
                diverged = event.reason if _NOT_FINITE in event.reason else diverged
    told = tuple(dict.fromkeys(warnings))
    diverged = diverged or broken
    sound, late = done and not broken, _mean(loads[-max(1, len(loads) // 10) :])
    return Record(step, evaluated, saved, sound, diverged, seconds, tokens, tuple(losses), told, late)


def _mean(loads: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """The mean of each router's shares over the steps in which it was asked."""
    routers = dict.fromkeys(name for one in loads for name in one)
    return {name: np.mean([one[name] for one in loads if name in one], axis=0).tolist() for name in routers}


def train(cell: Cell, folder: Path, until: int, asked_to_stop: Callable[[], bool]) -> None:
    """Train a cell in its folder up to step ``until``, from its newest checkpoint if it has one.

    Returns early, saved, when ``asked_to_stop`` says so after a step, and when the loss is no longer finite, which the
    folder then tells. Raises :class:`StrawberryError` where it cannot be trained at all.
    """
    begun = (folder / CONFIG).is_file()
    every, batches = cell.eval_every, cell.eval_batches
    options: dict[str, Any] = {"eval_every": every, "eval_batches": batches, "checkpoint_every": every}
    with Trainer(cell.config, cell.data, folder, cell.steps, resume=begun, keep=1, **options) as trainer:
        if trainer.step >= until and until < cell.steps:
            return
        try:
            for event in trainer:
                at_rung = event.event == "evaluated" and trainer.step >= until
                if trainer.step < cell.steps and (at_rung or (event.event == "step" and asked_to_stop())):
                    trainer.save()
                    return
        except DivergedError:
            return


def _slug(text: str) -> str:
    """At most 18 letters, digits and dashes; the digest in a name tells apart what becomes alike."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:18].strip("-") or "x"

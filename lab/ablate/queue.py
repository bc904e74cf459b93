"""The queue of a study: what is still to be trained, told by the cells' folders alone, and taken by locks.

Nobody keeps a list. A worker looks at the folders, takes a cell whose lock is free, trains it on from its newest
checkpoint, and looks again; so workers may come, go and be killed at any moment, on one machine or on many that share
the folder.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lab import notes
from lab.ablate import cells
from lab.ablate.budget import Matched, matched
from lab.ablate.cells import FINAL, TUNE, Cell, Record
from lab.ablate.halving import Standing, search
from lab.ablate.study import Study
from strawberry.errors import RunError, StrawberryError
from strawberry.lock import RunLock

POLL = 0.5  # seconds between looks while others train what is left


@dataclass(frozen=True)
class Task:
    """A cell and the step that it is to be trained to."""

    cell: Cell
    until: int


class Board:
    """What a study's folder tells of all its cells. Looks at the disk at every question."""

    def __init__(self, folder: Path, study: Study | None = None) -> None:
        self.folder = folder
        self.study = Study.read(folder) if study is None else study
        self._cells: dict[tuple[Any, ...], Cell] = {}

    @cached_property
    def budgets(self) -> dict[tuple[str, str], Matched]:
        """The budget of each (variant, data)."""
        return matched(self.study)

    def path(self, cell: Cell) -> Path:
        """The run folder of a cell."""
        return self.folder / "cells" / cell.name

    def record(self, cell: Cell) -> Record:
        """What a cell's folder tells."""
        return cells.read(self.path(cell))

    def failure(self, cell: Cell) -> str:
        """Why a cell could not be trained, in a sentence; empty where nothing went wrong."""
        return str(notes.read(self._claim(cell) / "failure.json").get("sentence", ""))

    def trials(self, variant: str, data: str) -> list[Cell]:
        """The cells that try the learning rates, wider ones too as they come; none where there is but one rate."""
        rates, _ = self._search(variant, data)
        return [self._trial(variant, data, rate) for rate in rates] if rates[1:] else []

    def standing(self, variant: str, data: str) -> Standing:
        """How far the choice of a learning rate is."""
        return self._search(variant, data)[1]

    def finals(self, variant: str, data: str) -> list[Cell]:
        """One cell per seed at the chosen learning rate; none while it is not chosen."""
        rate = self.standing(variant, data).chosen
        return [] if rate is None else [self._cell(variant, data, rate, seed, FINAL) for seed in self.study.seeds]

    def control_fails(self, data: str) -> str:
        """A sentence when the control of a data set fell short; empty while it has not, or where there is none."""
        if data not in self.study.control:
            return ""
        variant, wanted = self.study.control[data]
        finals = self.finals(variant, data)
        ends = [record.last for record in map(self.record, finals) if record.last is not None]
        if self.problem(variant, data):
            return f"The control failed: {self.problem(variant, data)}"
        if not finals or len(ends) < len(finals):
            return ""
        reached = [end.accuracy for end in ends if end.accuracy is not None]
        if len(reached) < len(ends):
            return f"The control {variant} has no accuracy on {data}."
        mean = sum(reached) / len(reached)
        if mean >= wanted:
            return ""
        return f"The control {variant} reached an accuracy of {mean:.3f} on {data} and had to reach {wanted:g}."

    def problem(self, variant: str, data: str) -> str:
        """A sentence when a variant cannot be judged on a data set, whatever is trained yet; else empty."""
        stood, finals = self.standing(variant, data), self.finals(variant, data)
        for cell in (*self.trials(variant, data), *finals):
            if why := self.failure(cell):
                return (
                    f"{variant} could not be trained on {data} (learning rate {cell.rate:g}, seed {cell.seed}): {why}"
                )
        if stood.over and stood.chosen is None:
            return f"{variant} diverged on {data} at every learning rate."
        lost = [str(cell.seed) for cell in finals if self.record(cell).diverged]
        if lost:
            seeds = f"seed{'s' * (len(lost) > 1)} {', '.join(lost)}"
            return f"{variant} diverged on {data} with {seeds}, at the learning rate that was best in tuning."
        return ""

    def tasks(self) -> list[Task]:
        """What can be trained now, in the order in which it is best done; cells that failed are left out."""
        found = []
        for variant, data in self._order():
            found += [task for task in self._tasks(variant, data) if not self.failure(task.cell)]
        return found

    def open(self, task: Task) -> bool:
        """Whether a task is still to be done."""
        record = self.record(task.cell)
        # A cell whose last step is evaluated and saved counts only once it has said that it is finished.
        return not record.ended and (task.until >= task.cell.steps or not record.reached(task.until))

    def claim(self, cell: Cell) -> RunLock | None:
        """The right to train a cell, or None when another worker has it; it ends with its process."""
        place = self._claim(cell)
        place.mkdir(parents=True, exist_ok=True)
        try:
            return RunLock(place)
        except RunError:
            return None

    def fail(self, cell: Cell, sentence: str) -> None:
        """Note that a cell cannot be trained, so that no worker tries again and again."""
        notes.write(self._claim(cell) / "failure.json", {"sentence": sentence})

    def forgive(self) -> None:
        """Forget all failures: a person has started the study again, and may have mended what was wrong."""
        for note in self.folder.glob("claims/*/failure.json"):
            note.unlink(missing_ok=True)

    def _claim(self, cell: Cell) -> Path:
        return self.folder / "claims" / cell.name

    def _cell(self, *which: Any) -> Cell:
        if which not in self._cells:
            variant, data, *_ = which
            self._cells[which] = cells.cell(self.study, self.budgets[variant, data], *which)
        return self._cells[which]

    def _trial(self, variant: str, data: str, rate: float) -> Cell:
        return self._cell(variant, data, rate, self.study.tuning_seed, TUNE)

    def _search(self, variant: str, data: str) -> tuple[Sequence[float], Standing]:
        """The learning rates tried, and how far their tuning is."""
        study, steps = self.study, self.budgets[variant, data].steps
        rates = study.rates(variant, data)
        if len(rates) == 1:
            return rates, Standing({}, {}, rates[0])
        every = cells.evaluations(steps, study.evaluations)

        def look(rate: float) -> Record:
            return self.record(self._trial(variant, data, rate))

        return search(rates, look, steps, every, study.halving, study.widen)

    def _order(self) -> list[tuple[str, str]]:
        """Controls first; with a gate, the others only once the control of their data has passed."""
        controls = {(variant, data) for data, (variant, _) in self.study.control.items()}
        others = [pair for pair in self.study.pairs if pair not in controls]
        if self.study.gate:
            others = [pair for pair in others if pair[1] not in self.study.control or self._passed(pair[1])]
        return [pair for pair in self.study.pairs if pair in controls] + others

    def _passed(self, data: str) -> bool:
        finals = self.finals(self.study.control[data][0], data)
        return bool(finals) and all(self.record(cell).ended for cell in finals) and not self.control_fails(data)

    def _tasks(self, variant: str, data: str) -> list[Task]:
        stood = self.standing(variant, data)
        if not stood.over:
            by_rate = {trial.rate: trial for trial in self.trials(variant, data)}
            return [Task(by_rate[rate], until) for rate, until in stood.targets.items()]
        tasks = [Task(cell, cell.steps) for cell in self.finals(variant, data)]
        return [task for task in tasks if self.open(task)]


def work(folder: str | Path, asked_to_stop: Callable[[], bool] = lambda: False) -> None:
    """Train whatever of a study is left, until nothing is, or until asked to stop.

    Any number of workers may do so at once. A cell that cannot be trained is noted and left out. While others train
    what is left, this one waits: it takes over where they die.
    """
    board = Board(Path(folder))
    while not asked_to_stop():
        tasks = board.tasks()
        if not tasks:
            return
        if not any(_take(board, task, asked_to_stop) for task in tasks):
            time.sleep(POLL)


def _take(board: Board, task: Task, asked_to_stop: Callable[[], bool]) -> bool:
    """Train one task unless somebody else does or has; whether there is news to look at."""
    lock = board.claim(task.cell)
    if lock is None:
        return False
    try:
        # Another worker may have done it between the look and the lock.
        if board.open(task):
            cells.train(task.cell, board.path(task.cell), task.until, asked_to_stop)
    except StrawberryError as error:
        board.fail(task.cell, str(error))
    except (RuntimeError, MemoryError, OSError) as error:
        board.fail(task.cell, f"{type(error).__name__}: {error}")
    finally:
        lock.release()
    return True

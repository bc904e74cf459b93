"""How far a study is, as a whole, and how long it will take, told by its folders."""

import time
from dataclasses import dataclass, replace

from lab.ablate.cells import Cell
from lab.ablate.queue import Board

Pair = tuple[str, str]


@dataclass(frozen=True)
class Progress:
    """cells, steps: of the whole study, as far as it is known now; done of them: those that need no more training.

    seconds: spent in steps so far. seconds_left: of steps; None before the first step has told how long steps take.
    running: names of the cells that are begun and not done.
    """

    cells: int
    cells_done: int
    steps: int
    steps_done: int
    seconds: float
    seconds_left: float | None
    running: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the steps, from 0 to 1."""
        return self.steps_done / self.steps if self.steps else 1.0

    def sentence(self) -> str:
        """In one line of words."""
        left = f", about {duration(self.seconds_left)} left" if self.seconds_left else ""
        return f"{self.cells_done} of {self.cells} trainings, {self.share:.0%} of the steps{left}"


@dataclass(frozen=True)
class _Planned:
    """A cell, the step that it is to reach as far as is known, where it is, and whether that is all."""

    cell: Cell
    until: int
    step: int
    over: bool


class Clock:
    """Looks at a study again and again, and learns how much longer it takes than its steps alone do."""

    def __init__(self, board: Board, workers: int) -> None:
        self.board, self.workers = board, workers
        self._began, self._seconds = time.monotonic(), progress(board).seconds

    def look(self) -> Progress:
        """How far the study is now; ``seconds_left`` counts evaluating, saving, waiting, and all workers together."""
        now = progress(self.board)
        gained = now.seconds - self._seconds
        if now.seconds_left is None or gained <= 0:
            return replace(now, seconds_left=None)
        return replace(now, seconds_left=now.seconds_left * (time.monotonic() - self._began) / gained)


def progress(board: Board) -> Progress:
    """How far a study is. A cell's pace is that of its own variant and data, or of all by their arithmetic."""
    cells, steps, seconds = 0, 0, 0.0
    ahead: dict[Pair, int] = {}
    paces: dict[Pair, float] = {}
    planned: list[_Planned] = []
    for pair in board.study.pairs:
        known, unnamed = _planned(board, *pair)
        planned += known
        cells += len(known) + unnamed
        rest = unnamed * board.budgets[pair].steps
        steps += rest + sum(one.until for one in known)
        ahead[pair] = rest + sum(one.until - one.step for one in known if not one.over)
        records = [board.record(one.cell) for one in known]
        spent, trained = sum(record.seconds for record in records), sum(record.step for record in records)
        seconds += spent
        if trained:
            paces[pair] = spent / trained
    return Progress(
        cells,
        sum(one.over for one in planned),
        steps,
        sum(one.until if one.over else one.step for one in planned),
        seconds,
        _left(board, ahead, paces),
        tuple(one.cell.name for one in planned if one.step and not one.over),
    )


def _planned(board: Board, variant: str, data: str) -> tuple[list[_Planned], int]:
    """The cells that have a name, and how many more there will be once the learning rate is chosen."""
    stood = board.standing(variant, data)
    named = [*board.trials(variant, data), *board.finals(variant, data)]
    given_up = bool(board.problem(variant, data)) or (board.study.gate and bool(board.control_fails(data)))
    planned = []
    for cell in named:
        record = board.record(cell)
        stopped = stood.stopped.get(cell.rate) if cell.seed == board.study.tuning_seed else None
        over = given_up or record.ended or stopped is not None or bool(board.failure(cell))
        planned.append(_Planned(cell, record.step if given_up else stopped or cell.steps, record.step, over))
    unnamed = len(board.study.seeds) if stood.chosen is None and not given_up else 0
    return planned, unnamed


def _left(board: Board, ahead: dict[Pair, int], paces: dict[Pair, float]) -> float | None:
    if not paces:
        return None
    arithmetic = {pair: budget.flops / budget.steps for pair, budget in board.budgets.items()}
    per_flop = sum(paces.values()) / sum(arithmetic[pair] for pair in paces)
    return sum(steps * paces.get(pair, per_flop * arithmetic[pair]) for pair, steps in ahead.items())


def duration(seconds: float) -> str:
    """Seconds in words."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"

"""Successive halving: who goes on depends on what was reached, never on who came first, and never on seeds."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.ablate.cells import Record
from lab.ablate.gathering import gather
from lab.ablate.halving import check, edge, promoted, rungs, search, standing
from lab.ablate.progress import progress
from lab.ablate.queue import Board, work
from lab.ablate.study import Study, StudyError
from strawberry.events import Evaluated


def at(step: int, loss: float, accuracy: float | None = None) -> Evaluated:
    return Evaluated(step, loss, None if accuracy is not None else loss, None, accuracy)


def record(losses: dict[int, float], step: int, steps: int = 40, diverged: str = "") -> Record:
    evaluated = {at_step: at(at_step, loss) for at_step, loss in losses.items()}
    return Record(step, evaluated, saved=step, done=step == steps and not diverged, diverged=diverged)


def test_rungs() -> None:
    assert rungs(3, 100, 20, 0) == []
    assert rungs(3, 100, 20, 3) == [40]
    assert rungs(4, 100, 20, 2) == [40, 60]
    assert rungs(9, 90, 10, 3) == [10, 30]
    assert rungs(8, 10, 5, 2) == [5]
    assert rungs(1, 100, 20, 2) == []


def test_optuna_lets_the_best_go_on_in_whatever_order_they_come() -> None:
    losses = {0.001: 3.0, 0.003: 2.0, 0.01: 1.0, 0.03: 2.5}
    for order in itertools.permutations(losses):
        assert promoted({rate: at(10, losses[rate]) for rate in order}, 2) == {0.01, 0.003}
        assert promoted({rate: at(10, losses[rate]) for rate in order}, 4) == {0.01}
    assert promoted({0.1: at(10, 2.0), 0.2: at(10, 1.0)}, 2) == {0.2}


def test_accuracy_counts_before_loss() -> None:
    assert promoted({0.1: at(10, 2.0, 1.0), 0.2: at(10, 1.0, 0.9)}, 2) == {0.1}
    assert promoted({0.1: at(10, 2.0, 1.0), 0.2: at(10, 1.0, 1.0)}, 2) == {0.2}


def test_without_halving_all_go_to_the_end_and_the_best_is_chosen() -> None:
    records = {0.1: record({40: 1.0}, 40), 0.2: record({20: 0.5}, 20), 0.3: Record()}
    stood = standing(records, 40, 20, 0)
    assert stood.targets == {0.2: 40, 0.3: 40} and stood.chosen is None and not stood.over
    records |= {0.2: record({40: 0.9}, 40), 0.3: record({}, 3, diverged="the loss is not finite")}
    stood = standing(records, 40, 20, 0)
    assert stood.over and stood.chosen == 0.2


def test_halving_step_by_step() -> None:
    records = {rate: Record() for rate in (0.1, 0.2, 0.3, 0.4)}
    assert standing(records, 40, 10, 2).targets == dict.fromkeys(records, 10)
    records = {rate: record({10: rate}, 10) for rate in records} | {0.4: record({}, 2, diverged="not finite")}
    stood = standing(records, 40, 10, 2)
    assert stood.stopped == {0.2: 10, 0.3: 10}
    assert stood.targets == {0.1: 20}
    # Not reached before it is safe on the disk.
    records[0.1] = Record(20, {10: at(10, 0.1), 20: at(20, 0.1)}, saved=10)
    assert standing(records, 40, 10, 2).targets == {0.1: 20}
    records[0.1] = record({10: 0.1, 20: 0.1}, 20)
    assert standing(records, 40, 10, 2).targets == {0.1: 40}
    records[0.1] = record({10: 0.1, 20: 0.1, 40: 0.1}, 40)
    assert standing(records, 40, 10, 2).chosen == 0.1
    # Where the one that went on diverges after all, the next best takes its place.
    records[0.1] = record({10: 0.1, 20: 0.1}, 25, diverged="not finite")
    stood = standing(records, 40, 10, 2)
    assert stood.targets == {0.2: 20} and stood.stopped == {0.3: 10}


def test_when_all_diverge_none_is_chosen() -> None:
    stood = standing({rate: record({}, 3, diverged="not finite") for rate in (0.1, 0.2, 0.3)}, 40, 10, 2)
    assert stood.over and stood.chosen is None


@pytest.mark.slow
@pytest.mark.parametrize("halving", [0, 3])
def test_a_study_with_and_without_halving(
    make: Callable[..., Study], begun: Callable[[Study], Path], halving: int
) -> None:
    folder = begun(make(halving=halving, evaluations=3, steps=9))
    work(folder)
    board = Board(folder)
    results = gather(board, "")
    trials = [one for one in results.cells if one.stage == "tune"]
    assert sorted(one.step for one in trials) == ([3, 3, 3, 3, 9, 9] if halving else [9] * 6)
    assert [one.state for one in trials].count("stopped") == (4 if halving else 0)
    assert all(one.step == 9 for one in results.cells if one.stage == "final")
    assert results.complete and progress(board).cells_done == progress(board).cells == 12
    for row in results.rows:
        tried = [score for score in row.learning_rates.values() if score is not None]
        assert len(tried) == (1 if halving else 3)


def test_without_optuna_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    check()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StudyError, match=r"halving needs optuna, .*strawberry-lab\[sweep\]"):
        check()


def look_at(records: dict[float, Record]) -> Callable[[float], Record]:
    return lambda rate: records.get(rate, Record())


def full(*losses: float) -> Record:
    """Evaluated every ten steps, the last at 40."""
    steps = range(10, 10 * len(losses) + 1, 10)
    return record(dict(zip(steps, losses, strict=True)), 10 * len(losses))


def test_further_rates_are_tried_while_the_best_lies_at_an_edge() -> None:
    records = {0.01: full(3, 3, 3, 3), 0.03: full(2, 2, 2, 2), 0.1: full(1.5, 1.5, 1.5, 1.5)}
    tried, stood = search([0.01, 0.03, 0.1], look_at(records), 40, 10, 0, 2)
    assert tried == [0.01, 0.03, 0.1, 0.33] and stood.targets == {0.33: 40} and stood.chosen is None
    records[0.33] = full(1, 1, 1, 1)
    tried, stood = search([0.01, 0.03, 0.1], look_at(records), 40, 10, 0, 2)
    assert tried[-1] == 1.1 and stood.targets == {1.1: 40}
    # Not more than were allowed, and then the edge is told.
    records[1.1] = full(0.5, 0.5, 0.5, 0.5)
    tried, stood = search([0.01, 0.03, 0.1], look_at(records), 40, 10, 0, 2)
    assert tried[-1] == 1.1 and stood.over and stood.chosen == 1.1 and edge(tried, 1.1, records[1.1]) == "highest"
    records[1.1] = full(5, 5, 5, 5)
    tried, stood = search([0.01, 0.03, 0.1], look_at(records), 40, 10, 0, 2)
    assert stood.chosen == 0.33 and edge(tried, 0.33, records[0.33]) == ""


def test_a_further_rate_is_stopped_at_the_last_rung_where_it_does_not_beat_the_best() -> None:
    records = {0.01: full(1, 1, 1, 1), 0.02: full(2, 2), 0.04: full(3, 3)}
    tried, stood = search([0.01, 0.02, 0.04], look_at(records), 40, 10, 3, 1)
    assert tried == [0.005, 0.01, 0.02, 0.04] and stood.targets == {0.005: 20}
    records[0.005] = full(2, 2)
    _, stood = search([0.01, 0.02, 0.04], look_at(records), 40, 10, 3, 1)
    assert stood.over and stood.chosen == 0.01 and stood.stopped == {0.02: 20, 0.04: 20, 0.005: 20}


def test_a_further_rate_that_leads_at_the_rung_is_trained_on_and_may_still_lose() -> None:
    records = {0.01: full(1, 1, 1, 1), 0.02: full(2, 2), 0.04: full(3, 3), 0.005: full(0.5, 0.5)}
    _, stood = search([0.01, 0.02, 0.04], look_at(records), 40, 10, 3, 2)
    assert stood.targets == {0.005: 40}
    records[0.005] = full(0.5, 0.5, 1.1, 1.1)
    tried, stood = search([0.01, 0.02, 0.04], look_at(records), 40, 10, 3, 2)
    assert stood.over and stood.chosen == 0.01 and edge(tried, 0.01, records[0.01]) == ""


def test_beyond_a_rate_that_diverged_nothing_is_tried() -> None:
    records = {0.01: full(3, 3, 3, 3), 0.03: full(2, 2, 2, 2), 0.1: record({}, 3, diverged="not finite")}
    tried, stood = search([0.01, 0.03, 0.1], look_at(records), 40, 10, 0, 2)
    assert tried == [0.01, 0.03, 0.1] and stood.chosen == 0.03
    records |= {0.1: full(1, 1, 1, 1), 0.33: record({}, 3, diverged="not finite")}
    tried, stood = search([0.01, 0.03, 0.1], look_at(records), 40, 10, 0, 2)
    assert tried[-1] == 0.33 and stood.chosen == 0.1 and edge(tried, 0.1, records[0.1]) == ""


def test_where_all_answers_are_right_there_is_no_edge() -> None:
    solved = Record(40, {40: at(40, 0.01, 0.997)}, saved=40, done=True)
    short = Record(40, {40: at(40, 0.01, 0.99)}, saved=40, done=True)
    assert edge([0.1, 0.2, 0.3], 0.3, solved) == ""
    assert edge([0.1, 0.2, 0.3], 0.3, short) == "highest" and edge([0.1, 0.2, 0.3], 0.1, short) == "lowest"
    tried, stood = search([0.1, 0.2, 0.3], look_at(dict.fromkeys((0.1, 0.2, 0.3), solved)), 40, 40, 0, 2)
    assert tried == [0.1, 0.2, 0.3] and stood.over


def test_a_study_tries_further_rates_by_itself(make: Callable[..., Study], begun: Callable[[Study], Path]) -> None:
    # Far too low, so that the highest is the best.
    study = make(learning_rates=[1e-6, 2e-6, 4e-6], widen=2)
    folder = begun(study)
    work(folder)
    board = Board(folder)
    (data,) = study.data
    results = gather(board, "")
    for row in results.rows:
        assert list(row.learning_rates) == ["1e-06", "2e-06", "4e-06", "8e-06", "1.6e-05"]
        assert row.learning_rate == 1.6e-05 and row.edge == "highest"
    assert results.complete and progress(board).share == 1
    assert [cell.rate for cell in board.finals("aft", data)] == [1.6e-05] * 3
    assert "up to 2 further ones were tried" in " ".join(results.fixed)

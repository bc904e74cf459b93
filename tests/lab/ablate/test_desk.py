"""A study run beside the dashboard: begun, stopped, killed, found again and finished; and timed before it begins."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import notes, process
from lab.ablate import desk, gauge
from lab.ablate.clerk import Clerk
from lab.ablate.desk import Desk
from lab.ablate.study import Study, StudyError

Make = Callable[..., Study]


def wait(what: Callable[[], Any], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.2)


@pytest.fixture
def quick(make: Make) -> Study:
    """Six trainings of ten steps."""
    return make(learning_rates=[0.01])


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """Processes are noted rather than started."""
    started: list[tuple[Path, int]] = []
    monkeypatch.setattr(desk, "_spawn", lambda folder, jobs: started.append((folder, jobs)))
    return started


def test_a_study_is_begun_and_found_again(quick: Study, tmp_path: Path, still: list[tuple[Path, int]]) -> None:
    begun = desk.start(tmp_path / "runs", quick, jobs=2)
    assert still == [(begun.folder, 2)]
    again = desk.find(tmp_path / "runs", "mixers")
    assert again == begun and again.study == quick and again.results() is None
    assert [one.name for one in desk.every(tmp_path / "runs")] == ["mixers"]
    assert begun.status().state == "stopped"
    with pytest.raises(StudyError, match="taken in the runs folder"):
        desk.start(tmp_path / "runs", quick)


@pytest.mark.parametrize("name", ["", "nothing", "../mixers", "a/b"])
def test_a_link_cannot_lead_elsewhere(name: str, quick: Study, tmp_path: Path, still: list[Any]) -> None:
    desk.start(tmp_path, quick)
    (tmp_path / "runs").mkdir()
    assert desk.find(tmp_path / "runs", name) is None


def test_a_process_that_died_is_told_of(quick: Study, tmp_path: Path, still: list[Any]) -> None:
    begun = desk.start(tmp_path, quick)
    notes.write(begun.folder / "status.json", {"state": "training", "sentence": "half", "share": 0.5})
    notes.write(begun.folder / process.WORKER, {**process.mark(os.getpid()), "started": "another", "created": 1.0})
    assert begun.status().state == "failed" and "goes on" not in begun.status().sentence
    assert "can go on" in begun.status().sentence and begun.status().share == 0.5
    notes.write(begun.folder / process.WORKER, process.mark(os.getpid()))
    assert begun.status().live
    begun.resume()
    assert len(still) == 1


def test_a_study_that_cannot_be_says_why(quick: Study, tmp_path: Path, still: list[Any]) -> None:
    begun = desk.start(tmp_path, quick)
    notes.write(begun.folder / "study.json", {**quick.to_dict(), "data": {"gone.txt": {}}})
    assert Clerk(begun.folder, 1).run() == 1
    status = begun.status()
    assert status.state == "failed" and "gone.txt" in status.sentence


@pytest.mark.slow
def test_stopped_killed_and_gone_on_with_nothing_is_lost(make: Make, tmp_path: Path) -> None:
    # Long enough that a fast machine is not done before it is stopped.
    begun = desk.start(tmp_path, make(learning_rates=[0.01], steps=600), jobs=1)
    try:
        cells = begun.folder / "cells"
        wait(lambda: any(cells.glob("*/checkpoints/*/manifest.json")))
        assert begun.status().live and Desk(begun.folder).status().sentence
        begun.stop()
        wait(lambda: not begun.status().live)
        assert begun.status().state == "stopped"
        told = {path: path.read_bytes() for path in cells.glob("*/events.jsonl")}
        assert told and begun.results() is not None

        begun.resume()
        wait(lambda: begun.status().state == "training")
        os.kill(notes.read(begun.folder / process.WORKER)["pid"], signal.SIGKILL)
        wait(lambda: begun.status().state == "failed")
        begun.resume(jobs=2)
        wait(lambda: begun.status().state == "finished")
    finally:
        process.kill(begun.folder)
    for path, before in told.items():
        finished = b'"reason": "done"' in before
        assert path.read_bytes() == before if finished else path.read_bytes().startswith(before[:200])
    results = begun.results()
    assert results is not None and results.complete and len(results.verdicts) == 1
    assert "Does AFT lose to attention?" in (begun.folder / "report.md").read_text()
    assert (begun.folder / "report.html").stat().st_size > 1_000_000


@pytest.mark.slow
def test_steps_are_timed_in_a_process_of_their_own(make: Make) -> None:
    study = make()
    paces = gauge.timed(study)
    assert set(paces) == set(study.pairs) and all(0 < pace < 5 for pace in paces.values())
    cost = gauge.expected(study, paces)
    assert cost.timed and cost.trainings == 12
    assert cost.seconds == pytest.approx(gauge.BESIDES * 60 * sum(paces.values()))
    guess = gauge.expected(study)
    assert not guess.timed and guess.trainings == 12


def test_halving_makes_a_study_cheaper(make: Make) -> None:
    rates = [0.001, 0.003, 0.01, 0.03]
    whole = make(learning_rates=rates, steps=40)
    thinned = make(learning_rates=rates, steps=40, halving=2, evaluations=8)
    paces = dict.fromkeys(whole.pairs, 1.0)
    assert gauge.expected(whole, paces).seconds == gauge.BESIDES * 2 * (4 * 40 + 3 * 40)
    assert gauge.expected(thinned, paces).seconds < 0.8 * gauge.expected(whole, paces).seconds


def test_what_cannot_be_timed_says_why(make: Make) -> None:
    study = make(data={"gone.txt": {}})
    with pytest.raises(StudyError, match=r"gone\.txt"):
        gauge.timed(study)

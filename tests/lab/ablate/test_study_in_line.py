"""A study in the line of runs: it waits for its turn, says so, begins by itself, and may be taken out again."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import jobs, line, notes, process, status, tickets
from lab.ablate import desk
from lab.ablate.study import Study, StudyError
from strawberry.config import Config
from tests.lab.test_jobs import tiny_config, until

Make = Callable[..., Study]


def say(folder: Path, state: str, **more: Any) -> None:
    """Let whoever works in a folder say what it does."""
    told = {"state": state, "sentence": "", "step": 3, "steps": 9, "updated": time.time(), "beat": time.monotonic()}
    notes.write(folder / "status.json", told | more)


@pytest.fixture(scope="module")
def tiny() -> Config:
    return tiny_config()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Workers and clerks are noted rather than started, and live while their status says so; the names in order."""
    names: list[str] = []

    def spawn(folder: Path, jobs: int = 0) -> None:
        names.append(f"{folder.name}×{jobs}" if jobs else folder.name)
        say(folder, "training")

    monkeypatch.setattr(process, "spawn", spawn)
    monkeypatch.setattr(desk, "_spawn", spawn)
    monkeypatch.setattr(process, "kill", lambda folder: None)
    monkeypatch.setattr(process, "alive", lambda folder: notes.read(folder / "status.json").get("state") in status.LIVE)
    return names


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for folder in tickets.waiting(tmp_path):
        tickets.drop(folder)
    for folder in tmp_path.iterdir():
        process.kill(folder)


def test_a_study_waits_for_the_run_that_trains_and_begins_when_it_ends(
    make: Make, tiny: Config, runs: Path, work: list[str]
) -> None:
    first = jobs.start(runs, "first", tiny)
    study = desk.start(runs, make(), jobs=2)
    last = jobs.start(runs, "last", tiny)
    assert work == ["first"]
    told = study.status()
    assert (told.state, told.place, told.live) == ("waiting", 1, False)
    assert told.sentence == "1st in line, behind first; it begins by itself when that run ends or is paused."
    assert last.status().sentence == "2nd in line, behind mixers; it begins by itself."
    assert line.advance(runs) == [] and desk.find(runs, "mixers") == study
    say(first.folder, "finished")
    assert line.advance(runs) == ["mixers"]
    assert work == ["first", "mixers×2"]
    assert (study.status().state, study.status().place) == ("training", 0)
    assert last.status().sentence.startswith("1st in line, behind mixers")
    say(study.folder, "finished")
    assert line.advance(runs) == ["last"]


def test_a_study_leaves_the_line_and_comes_back(make: Make, tiny: Config, runs: Path, work: list[str]) -> None:
    first, study = jobs.start(runs, "first", tiny), desk.start(runs, make())
    study.stop()
    assert (study.status().state, study.status().place) == ("stopped", 0)
    assert not (study.folder / desk.CONTROL).exists()
    second = jobs.start(runs, "second", tiny)
    study.resume(jobs=3)
    assert (second.status().place, study.status().place) == (1, 2)
    study.first()
    assert (second.status().place, study.status().place) == (2, 1)
    study.resume(beside=True)
    assert work == ["first", "mixers×3"] and study.status().place == 0
    say(first.folder, "finished")
    assert line.advance(runs) == [], "the study counts as a run"
    say(study.folder, "failed", sentence="The workers ended before the study did.")
    assert line.advance(runs) == ["second"]
    study.resume()
    assert (study.status().state, study.status().place) == ("waiting", 1)
    study.leave()
    assert study.status().state == "failed"


def test_beside_and_alone_it_begins_at_once_and_a_taken_name_takes_no_place(
    make: Make, tiny: Config, runs: Path, work: list[str]
) -> None:
    desk.start(runs, make(name="alone"))
    desk.start(runs, make(name="beside"), beside=True)
    assert work == ["alone×1", "beside×1"]
    with pytest.raises(StudyError, match="taken"):
        desk.start(runs, make(name="alone"))
    assert tickets.waiting(runs) == []


def test_no_room_for_a_run_does_not_hold_up_a_small_study(
    make: Make, tiny: Config, runs: Path, work: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, study = jobs.start(runs, "first", tiny), desk.start(runs, make())
    say(first.folder, "stopped")
    monkeypatch.setattr(process, "free_memory", lambda: 1e8)
    assert line.advance(runs) == [] and "waits for room" in study.status().sentence
    monkeypatch.setattr(process, "free_memory", lambda: 6e8)
    assert line.advance(runs) == ["mixers"]


@pytest.mark.slow
def test_the_line_begins_a_study_without_any_server(make: Make, tiny: Config, runs: Path) -> None:
    """A real run keeps a study waiting; its keeper, and nobody else, lets the study begin when it ends."""
    from tests.lab.test_jobs import TEXT

    first = jobs.start(runs, "first", tiny, steps=100_000, pasted=TEXT)
    until(first, lambda now: now.step >= 2)
    # By a server that is gone at once.
    told = make(learning_rates=[0.01], steps=4)
    notes.write(runs / "study.json", told.to_dict())
    code = (
        "import sys\nfrom pathlib import Path\nfrom lab.ablate import desk\nfrom lab.ablate.study import Study\n"
        "runs = Path(sys.argv[1])\ndesk.start(runs, Study.read(runs))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(runs)], env=process.environment(), check=True, timeout=120)
    study = desk.Desk(runs / "mixers")
    assert study.status().state == "waiting"
    first.stop()
    end = time.monotonic() + 240
    while study.status().state != "finished" and time.monotonic() < end:
        time.sleep(0.3)
    assert study.status().state == "finished", study.log()
    assert first.status().state == "stopped"
    assert os.path.exists(study.folder / desk.RESULTS)

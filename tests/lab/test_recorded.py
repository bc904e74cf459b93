"""What a run folder tells by itself."""

import os
import time
from pathlib import Path

import pytest

from lab import notes, recorded
from strawberry.lock import RunLock


def write(folder: Path, *lines: str, age: float = 0.0) -> None:
    """An event file that was last written ``age`` seconds ago."""
    path = folder / "events.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    os.utime(path, (time.time() - age, time.time() - age))


STEP = '{"event": "step", "step": 12}'


@pytest.mark.parametrize(
    ("lines", "age", "state", "word"),
    [
        ([STEP, '{"event": "finished", "step": 12, "reason": "done"}'], 0, "finished", ""),
        ([STEP, '{"event": "finished", "step": 12, "reason": "the loss is not finite"}'], 0, "stopped", "not finite"),
        ([STEP], 0, "stopped", "ends at step 12"),
        ([STEP, '{"event": "st'], 900, "stopped", "ends at step 12"),
    ],
)
def test_how_a_run_without_a_worker_ended(tmp_path: Path, lines: list[str], age: float, state: str, word: str) -> None:
    write(tmp_path, *lines, age=age)
    told = recorded.ending(tmp_path)
    assert (told[0], told[2]) == (state, 12)
    assert word in told[1]


def test_a_run_whose_lock_is_held_is_training(tmp_path: Path) -> None:
    write(tmp_path, STEP)
    lock = RunLock(tmp_path)
    state, sentence, step, _ = recorded.ending(tmp_path)
    assert (state, step) == ("training", 12)
    assert "outside of the dashboard" in sentence
    lock.release()
    assert recorded.ending(tmp_path)[0] == "stopped"
    RunLock(tmp_path).release()


def test_an_empty_folder_has_recorded_nothing(tmp_path: Path) -> None:
    assert recorded.ending(tmp_path)[0] == "stopped"
    assert recorded.probes(tmp_path) == recorded.checkpoints(tmp_path) == []
    assert recorded.verdict(tmp_path) is None


def test_only_whole_probes_and_checkpoints_count(tmp_path: Path) -> None:
    (tmp_path / "probes").mkdir()
    for name in ("step-5.npz", "step-30.npz", "step-7.npzabc.tmp", "other.npz"):
        (tmp_path / "probes" / name).touch()
    assert recorded.probes(tmp_path) == [5, 30]
    for name in ("step-5", "step-9.tmp"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "manifest.json").touch()
    (tmp_path / "checkpoints" / "step-8").mkdir()
    assert recorded.checkpoints(tmp_path) == [5]


def test_a_measured_verdict_counts_more_than_a_declared_one(tmp_path: Path) -> None:
    notes.write(tmp_path / "config.json", {"pooling": "batch"})
    assert recorded.verdict(tmp_path) == (False, "By construction; it is measured when the training has begun.")
    notes.write(tmp_path / "leaks.json", {"causal": True, "sentence": "nothing moved"})
    assert recorded.verdict(tmp_path) == (True, "nothing moved")
    notes.write(tmp_path / "leaks.json", {})
    notes.write(tmp_path / "config.json", {"pooling": "nonsense"})
    assert recorded.verdict(tmp_path) is None

"""Runs on the shelf: listed, filtered, compared, renamed and removed, and never one too many."""

import os
import time
from pathlib import Path

import pytest

import strawberry
from lab import jobs, notes, process, shelf
from strawberry.config import Config
from strawberry.errors import RunError
from strawberry.lock import RunLock
from tests.lab.test_writing import TEXT, small


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that was made on the command line."""
    folder = tmp_path_factory.mktemp("trained") / "berry"
    for _ in strawberry.train(small("strawberry"), strawberry.Text(TEXT), folder, steps=3, eval_every=2):
        pass
    return folder


@pytest.fixture
def runs(tmp_path: Path, trained: Path) -> Path:
    """A runs folder with the finished run, one that never began, and things that are no runs."""
    import shutil

    folder = tmp_path / "runs"
    shutil.copytree(trained, folder / "berry")
    bare = folder / "bare"
    bare.mkdir()
    config: Config = small("gpt").replace(loops=2, seed=5)
    notes.write(bare / "job.json", {"config": config.to_dict(), "data": "sotu", "steps": 7, "created": 1.0})
    (folder / "notes.txt").write_text("mine")
    (folder / "pictures").mkdir()
    return folder


def test_every_run_is_listed_with_what_is_known(runs: Path) -> None:
    found = {entry.name: entry for entry in shelf.entries(runs)}
    assert list(found) == ["berry", "bare"]
    berry, bare = found["berry"], found["bare"]
    assert (berry.status.state, berry.status.step, berry.family) == ("finished", 3, "strawberry")
    assert berry.loss and berry.bits_per_byte and berry.parameters
    assert berry.bytes > 10_000
    assert time.time() - berry.created < 3600
    assert (bare.loss, bare.bits_per_byte, bare.parameters, bare.created) == (None, None, None, 1.0)
    assert (bare.status.state, bare.fields["data"], bare.fields["steps"]) == ("stopped", "sotu", 7)


def test_words_find_runs_by_anything(runs: Path) -> None:
    def named(words: str) -> list[str]:
        return [entry.name for entry in shelf.entries(runs) if entry.matches(words)]

    assert named("") == ["berry", "bare"]
    assert named("BERRY finished") == ["berry"]
    assert named("loops=2 seed=5") == ["bare"]
    assert named("mixer=softmax") == ["bare"]
    assert named("strawberry gpt") == []


def test_only_what_differs_is_compared(runs: Path) -> None:
    told = shelf.differences(shelf.entries(runs))
    assert list(told.columns) == ["berry", "bare"]
    assert list(told.loc["steps"]) == ["3", "7"]
    assert list(told.loc["seed"]) == ["0", "5"]
    assert {"family", "data", "weights"} <= set(told.index)
    assert "vocab_size" not in told.index
    assert shelf.differences(shelf.entries(runs)[:1]).empty
    assert shelf.differences([]).empty


def test_a_damaged_run_is_listed_all_the_same(runs: Path) -> None:
    (runs / "berry" / "config.json").write_text("{nonsense")
    (runs / "berry" / "events.jsonl").write_bytes(
        b'\xff\xfe\n[1]\n{"event": "evaluated"}\n{"event": "step", "loss": "x"}\n'
    )
    berry = {entry.name: entry for entry in shelf.entries(runs)}["berry"]
    assert (berry.loss, berry.parameters, berry.family) == (None, None, "–")


def test_a_run_is_renamed_whole_and_opens_under_its_new_name(runs: Path) -> None:
    job = shelf.rename(runs, "berry", "straw.berry-2")
    assert job.name == "straw.berry-2"
    assert not (runs / "berry").exists()
    assert strawberry.open_run(job.folder).model(3)
    assert jobs.find(runs, "straw.berry-2") == job


@pytest.mark.parametrize("new", ["bare", "notes.txt", "pictures", "", "../out", "a/b", ".hidden", "x" * 65, "ü"])
def test_no_name_leads_elsewhere_or_onto_something(runs: Path, new: str) -> None:
    with pytest.raises(RunError):
        shelf.rename(runs, "berry", new)
    assert (runs / "berry" / "config.json").exists()
    assert sorted(path.name for path in runs.parent.iterdir()) == ["runs"]


def test_a_run_is_removed_and_nothing_else(runs: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (runs / "berry" / "link").symlink_to(outside, target_is_directory=True)
    shelf.delete(runs, "berry")
    assert sorted(path.name for path in runs.iterdir()) == [".line", "bare", "notes.txt", "pictures"]
    assert (outside / "precious").exists()


@pytest.mark.parametrize("name", ["pictures", "notes.txt", "gone", "", ".", "..", "../outside", "sly"])
def test_what_is_no_run_here_is_not_removed(runs: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    notes.write(outside / "job.json", {"config": {}})
    (runs / "sly").symlink_to(outside, target_is_directory=True)
    for action in (shelf.delete, lambda folder, name: shelf.rename(folder, name, "other")):
        with pytest.raises(RunError):
            action(runs, name)
    assert (outside / "job.json").exists()
    assert (runs / "berry").exists() and (runs / "pictures").exists()


def test_a_run_at_work_is_left_alone(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = RunLock(runs / "berry")
    for action in (shelf.delete, lambda folder, name: shelf.rename(folder, name, "other")):
        with pytest.raises(RunError, match="being trained by this process"):
            action(runs, "berry")
    lock.release()
    monkeypatch.setattr(process, "alive", lambda folder: folder.name == "bare")
    for state in jobs.LIVE:
        notes.write(runs / "bare" / "status.json", {"state": state, "updated": time.time()})
        with pytest.raises(RunError, match="at work"):
            shelf.delete(runs, "bare")
    assert (runs / "bare" / "job.json").exists()


def test_what_was_left_half_way_is_swept_once_it_is_old(runs: Path) -> None:
    old, young = runs / ".deleted-old", runs / ".incoming-young"
    for folder in (old, young):
        (folder / "berry").mkdir(parents=True)
    os.utime(old, (1.0, 1.0))
    assert [entry.name for entry in shelf.entries(runs)] == ["berry", "bare"]
    shelf.sweep(runs)
    assert not old.exists() and young.exists()
    assert (runs / "berry").exists()

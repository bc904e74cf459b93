"""Room for a run: its memory beside that of others, its checkpoints on the disk, its text; all before it starts."""

from pathlib import Path

import pytest

import strawberry
from lab import jobs, notes, process, room
from lab.jobs import JobError
from strawberry.config import Config
from tests.lab.test_jobs import tiny_config

GB = 10**9


@pytest.fixture
def tiny() -> Config:
    return tiny_config().replace(device="cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A machine whose memory and disk the test sets, in bytes; ``taken`` is what each worker holds."""
    there = {"free": 8.0 * GB, "whole": 16.0 * GB, "disk": 50.0 * GB, "taken": 1.0 * GB}
    monkeypatch.setattr(process, "free_memory", lambda: there["free"])
    monkeypatch.setattr(process, "whole_memory", lambda: there["whole"])
    monkeypatch.setattr(process, "taken_memory", lambda folder: there["taken"])
    monkeypatch.setattr(room, "disk_free", lambda folder: there["disk"])
    return there


def other(runs: Path, name: str, memory: float) -> Path:
    """A run that holds memory."""
    folder = runs / name
    folder.mkdir(parents=True)
    notes.write(folder / "job.json", {"memory": memory})
    return folder


def test_what_a_run_needs_follows_its_estimate(tiny: Config) -> None:
    cost = strawberry.estimate(tiny)
    memory, disk = room.needs(tiny)
    assert tiny.optimizer == "muon"
    assert memory == cost.memory_bytes + room.OWN
    # Four checkpoints of weights and one moment; two moments with another optimiser.
    assert disk == room.BESIDES + 4 * 8 * cost.parameters
    assert room.needs(tiny.replace(optimizer="adamw"))[1] == room.BESIDES + 4 * 12 * cost.parameters
    assert room.needs(tiny, text=10**6)[0] - memory == room.TEXT * 10**6


def test_a_gpus_memory_is_left_to_the_trainer(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert room.needs(tiny.replace(device="auto"))[0] == room.OWN
    assert room.needs(tiny)[0] > room.OWN


def test_what_training_runs_will_still_take_is_not_free(
    tiny: Config, tmp_path: Path, machine: dict[str, float]
) -> None:
    need = room.needs(tiny)[0]
    machine["free"] = need + 3 * GB
    assert not room.room(tiny, tmp_path).lacking
    young = [other(tmp_path, name, 2.5 * GB) for name in ("young", "younger")]
    found = room.room(tiny, tmp_path, young)
    assert found.free == machine["free"] - 2 * 1.5 * GB
    assert not found.lacking and not found.never
    third = [*young, other(tmp_path, "youngest", 2.5 * GB)]
    lacking = room.room(tiny, tmp_path, third).lacking
    assert "while young, younger and youngest may take theirs" in lacking
    assert "or stop young, younger and youngest" in lacking
    # A run that has taken all that it will owes nothing more.
    machine["taken"] = 9.0 * GB
    assert not room.room(tiny, tmp_path, third).lacking


def test_a_lack_says_what_to_do(tiny: Config, tmp_path: Path, machine: dict[str, float]) -> None:
    machine["free"] = 1e8
    found = room.room(tiny, tmp_path)
    assert not found.never
    assert "100 MB are free" in found.lacking and "close other programs" in found.lacking
    machine["whole"] = 1e8
    assert "this machine has 100 MB" in room.room(tiny, tmp_path).never
    assert room.room(tiny, tmp_path).lacking == room.room(tiny, tmp_path).never
    machine |= {"free": 8e9, "whole": 8e9, "disk": 1e6}
    assert "of disk and 1 MB are free; make room" in room.room(tiny, tmp_path).lacking


def test_a_run_that_was_asked_for_keeps_what_it_needs(tiny: Config, tmp_path: Path, machine: dict[str, float]) -> None:
    folder = other(tmp_path, "asked", 12.0 * GB)
    notes.write(folder / "job.json", {"memory": 12 * GB, "disk": 7 * GB})
    assert (room.room_of(folder, []).need, room.room_of(folder, []).disk_need) == (12 * GB, 7 * GB)
    notes.write(folder / "job.json", {"config": tiny.to_dict(), "memory": "much"})
    assert room.room_of(folder, []).need == room.needs(tiny)[0]


def test_sizes_beyond_all_measure_are_refused(tiny: Config, tmp_path: Path, machine: dict[str, float]) -> None:
    huge = tiny.replace(seq_len=10**6, chunk=10**6, batch_size=10**6)
    assert room.room(huge, tmp_path).never
    with pytest.raises(JobError, match="this machine has"):
        jobs.start(tmp_path, "huge", huge)
    assert jobs.every(tmp_path) == []


def test_a_text_is_weighed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / ".hidden").write_bytes(b"x" * 50)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(b"x" * 7)
    assert room.weight(tmp_path) == 107
    assert room.weight(tmp_path / "a") == 100
    for nothing in (tmp_path / "gone", Path("sotu"), Path("mqar:pairs=8"), Path("x" * 5000), Path("\0")):
        assert room.weight(nothing) == 0


def test_a_disk_is_asked_where_the_folder_will_be(tmp_path: Path) -> None:
    assert 0 < room.disk_free(tmp_path / "not" / "there" / "yet") < float("inf")

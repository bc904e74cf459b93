"""Bad ends: a full disk, no memory, a loss that is not finite, a kill, damaged files; each is told in words."""

import contextlib
import errno
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lab import endings, jobs, notes, process, recorded, status
from lab.jobs import Job, JobError
from lab.worker import Worker
from strawberry import eventlog
from strawberry.config import Config
from strawberry.errors import CheckpointError, DataError, RunError
from tests.lab.test_jobs import TEXT, tiny_config, until


@pytest.fixture(scope="module")
def tiny() -> Config:
    return tiny_config()


@pytest.fixture
def folder(tiny: Config, tmp_path: Path) -> Path:
    """A run that was asked for and has not begun."""
    folder = tmp_path / "runs" / "berry"
    folder.mkdir(parents=True)
    (folder / "text.txt").write_text(TEXT)
    asked = {"config": tiny.to_dict(), "data": "text.txt", "steps": 60, "text": "", "created": 1.0, "resume": False}
    notes.write(folder / "job.json", asked)
    return folder


def full(error: int = errno.ENOSPC) -> OSError:
    return OSError(error, os.strerror(error), "somewhere")


def hidden(error: Exception) -> Exception:
    """A sentence that was made of an error, without showing it."""
    try:
        try:
            raise error
        except OSError:
            raise RunError("run folder 'x' cannot be written") from None
    except RunError as told:
        return told


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (full(), "disk", "The disk was full at step 1,234"),
        (full(errno.EDQUOT), "disk", "The disk was full"),
        (full(errno.EROFS), "disk", "could not be written 'somewhere' (read-only file system)"),
        (full(errno.EACCES), "disk", "(permission denied)"),
        (hidden(full()), "disk", "The disk was full"),
        (MemoryError(), "memory", "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory", "not enough"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "memory", "not enough"),
        (DataError("the text is too small; give more text"), "asked", "The text is too small; give more text."),
        (CheckpointError("nothing sound"), "asked", "Nothing sound."),
        (KeyError("x"), "crashed", "An unexpected error ended the training (KeyError: 'x')."),
        (full(errno.EIO), "crashed", "OSError"),
    ],
)
def test_an_error_is_told_by_its_cause(error: Exception, cause: str, words: str) -> None:
    told = endings.told(error, 1234)
    assert told[0] == cause
    assert words in told[1]


@pytest.mark.parametrize(
    ("ended", "free", "cause", "words"),
    [
        (None, 8e9, "killed", "without a word at step 7: killed, or the machine was switched off"),
        ({"code": -9, "memory": True}, 8e9, "memory", "because the machine had no memory left"),
        ({"code": -9, "memory": False}, 1e8, "memory", "while only 100 MB of memory were free"),
        ({"code": -9, "memory": False}, 8e9, "killed", "killed (signal 9)"),
        ({"code": -11}, 8e9, "killed", "a segmentation fault (signal 11)"),
        ({"code": -31}, 8e9, "killed", "ended by the system (signal 31)"),
        ({"code": 3}, 8e9, "crashed", "exit code 3"),
        ({"code": "x"}, 8e9, "crashed", "exit code x"),
    ],
)
def test_a_worker_that_said_nothing_is_told_by_what_its_keeper_saw(
    folder: Path, ended: dict[str, object] | None, free: float, cause: str, words: str
) -> None:
    notes.write(folder / "status.json", {"state": "training", "step": 7, "steps": 9, "updated": 1.0, "free": free})
    if ended is not None:
        notes.write(folder / process.ENDED, ended)
    told = Job(folder).status()
    assert (told.state, told.cause, told.step) == ("failed", cause, 7)
    assert words in told.sentence
    assert "had saved nothing, so resume begins again" in told.advice


def test_a_folder_that_became_read_only_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes.write(folder / "status.json", {"state": "training", "step": 7, "steps": 9, "updated": 1.0})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    told = Job(folder).status()
    assert (told.state, told.cause) == ("failed", "disk")
    assert "cannot be written any more" in told.sentence and "Make room" in told.advice


def test_a_status_file_may_be_cut_anywhere_or_hold_nonsense(folder: Path) -> None:
    sound = json.dumps({"state": "finished", "sentence": "ok", "step": 7, "steps": 9, "updated": 1.0, "beat": 2.0})
    path = folder / "status.json"
    for length in range(len(sound)):
        path.write_text(sound[:length])
        assert Job(folder).status().state == "stopped"
    for nonsense in (
        b"\xff\xfe", b"[]", b"null", b'{"state": 5}', b'{"state": ["training"]}', b"[" * 100_000, b'{"state": "x"}',
    ):  # fmt: skip
        path.write_bytes(nonsense)
        assert Job(folder).status().state == "stopped"
    for field, value in (
        ("step", "7"),
        ("step", -1),
        ("steps", None),
        ("updated", float("nan")),
        ("eta", []),
        ("beat", {}),
    ):
        path.write_text(json.dumps({**json.loads(sound), field: value}))
        found = Job(folder).status()
        assert found.state == "finished" and type(found.step) is int and type(found.steps) is int
    path.write_text(sound)
    assert Job(folder).status().step == 7


@pytest.mark.parametrize(
    "name", ["worker.json", "keeper.json", "ended.json", "control.json", "job.json", "ticket.json"]
)
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": true}', b'{"pid": -4, "created": 1.0}'])
def test_any_other_file_may_hold_nonsense(folder: Path, name: str, content: bytes) -> None:
    (folder / f"{name}.json").write_bytes(content)
    assert Job(folder).status().state in jobs.STATES
    assert not process.alive(folder)
    process.kill(folder)


def test_silence_is_measured_on_a_clock_that_nobody_sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "alive", lambda folder: True)
    told = {"state": "training", "step": 3, "steps": 9, "updated": time.time()}
    for jump in (-9e5, 9e5):
        notes.write(folder / "status.json", {**told, "updated": time.time() + jump, "beat": time.monotonic()})
        assert Job(folder).status().sentence == ""
        notes.write(folder / "status.json", {**told, "updated": time.time() + jump, "beat": time.monotonic() - 60})
        assert "No sign of life for 6" in Job(folder).status().sentence


def test_a_process_is_known_by_its_boot_and_tick(folder: Path) -> None:
    """After a reboot its number may be another's; and a clock that is set moves its start time."""
    own = process.mark(os.getpid())
    path = folder / process.WORKER
    notes.write(path, own)
    assert process.alive(folder)
    if own["started"]:
        notes.write(path, {**own, "created": own["created"] - 7200.0})
        assert process.alive(folder)
        boot, _, tick = own["started"].partition(":")
        for other in (f"{boot}:{int(tick) + 1}", f"0{boot[1:]}x:{tick}"):
            notes.write(path, {**own, "started": other})
            assert not process.alive(folder)
    # Where the system tells no tick, the start time must do.
    notes.write(path, {"pid": own["pid"], "created": own["created"], "started": ""})
    assert process.alive(folder)
    notes.write(path, {"pid": own["pid"], "created": own["created"] - 60.0, "started": ""})
    assert not process.alive(folder)
    assert process.mark(2**22 + 1) == {}


def test_a_worker_that_died_but_was_not_collected_is_dead(folder: Path) -> None:
    child = subprocess.Popen(["true"])
    notes.write(folder / process.WORKER, process.mark(child.pid))
    end = time.monotonic() + 10
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.01)
    assert not process.alive(folder)
    child.wait()


def test_killing_never_ends_the_one_who_asks(folder: Path) -> None:
    notes.write(folder / process.WORKER, process.mark(os.getpid()))
    process.kill(folder)


def test_reserved_room_takes_last_words_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    notes.reserve(path, 64)
    assert notes.read(path) == {}
    for value in ({"long": "x" * 30}, {"a": 1}):
        notes.engrave(path, value)
        assert notes.read(path) == value
    assert path.stat().st_size == 64
    with pytest.raises(OSError, match="room for 64"):
        notes.engrave(path, {"long": "x" * 90})
    assert notes.read(path) == {"a": 1}


def test_a_note_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    notes.write(path, {"a": 1})

    def refuse(*_: object) -> None:
        raise full()

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="space"):
        notes.write(path, {"a": 2})
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "status.json.12-34.tmp").touch()
    notes.sweep(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_a_loss_that_is_not_finite_is_told_and_its_checkpoint_stays(folder: Path, tiny: Config) -> None:
    wild = tiny.replace(learning_rate=1e30, warmup_steps=0, grad_clip=1e30)
    notes.write(folder / "job.json", {**notes.read(folder / "job.json"), "config": wild.to_dict()})
    assert Worker(folder).run() == 1
    told = Job(folder).status()
    assert (told.state, told.cause) == ("failed", "diverged")
    assert "is not finite" in told.sentence
    assert "lower learning rate" in told.advice


def test_a_long_run_saves_by_the_clock_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the steps may take hours; what saving may cost is limited all the same."""

    def saved() -> list[int]:
        events, _ = eventlog.read_events(folder / "events.jsonl")
        return [event.step for event in events if event.event == "saved"]

    monkeypatch.setattr("lab.worker.SAVE_EVERY", 0.0)
    monkeypatch.setattr("lab.worker.SAVE_SHARE", 1e9)
    assert Worker(folder).run() == 0
    assert saved() == list(range(1, 61))
    monkeypatch.setattr("lab.worker.SAVE_SHARE", 1e-9)
    notes.write(folder / "job.json", {**Job(folder).request, "resume": True, "steps": 90})
    assert Worker(folder).run() == 0
    assert saved()[60:] == [61, 90]


def test_any_other_error_is_told_with_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(worker: Worker) -> None:
        raise KeyError("rhubarb")

    monkeypatch.setattr(Worker, "_judge", judge)
    assert Worker(folder).run() == 1
    told = Job(folder).status()
    assert told.cause == "crashed" and "KeyError: 'rhubarb'" in told.sentence


class Disk:
    """Refuses whatever the worker writes, once it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        for where, name in ((os, "write"), (os, "replace"), (os, "mkdir")):
            monkeypatch.setattr(where, name, self._unless_full(getattr(where, name)))

    def _unless_full(self, real: Callable[..., object]) -> Callable[..., object]:
        def write(*given: object, **more: object) -> object:
            if self.full:
                raise full()
            return real(*given, **more)

        return write


def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    note = Worker._note

    def fills(worker: Worker, event: object) -> None:
        note(worker, event)
        disk.full = worker._step == 55

    monkeypatch.setattr(Worker, "_note", fills)
    assert Worker(folder).run() == 1
    disk.full = False
    told = Job(folder).status()
    assert (told.state, told.cause) == ("failed", "disk")
    assert told.sentence == "The disk was full at step 55, so nothing more could be recorded or saved."
    assert told.advice == "Make room and see that the folder can be written; then resume goes on from step 50."
    assert recorded.checkpoints(folder) == [50]
    monkeypatch.setattr(Worker, "_note", note)
    notes.write(folder / "job.json", {**Job(folder).request, "resume": True})
    for name in (process.LAST_WORDS, "status.json"):
        (folder / name).unlink()
    assert Worker(folder).run() == 0
    assert Job(folder).status().state == "finished"
    events, _ = eventlog.read_events(folder / "events.jsonl")
    assert [event.step for event in events if event.event == "step"] == list(range(1, 61))


def test_a_stop_that_cannot_be_saved_waits_for_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: the worker holds what it has learned until the disk takes it."""
    disk, said = Disk(monkeypatch), []
    note, say = Worker._note, Worker._say

    def stops(worker: Worker, event: object) -> None:
        note(worker, event)
        if worker._step == 5:
            notes.write(worker.folder / "control.json", {"want": "stop"})
            disk.full = True

    def listens(worker: Worker, state: str, sentence: str, cause: str = "") -> None:
        say(worker, state, sentence, cause)
        said.append((state, sentence))
        disk.full = disk.full and state != "paused"

    monkeypatch.setattr(Worker, "_note", stops)
    monkeypatch.setattr(Worker, "_say", listens)
    monkeypatch.setattr("lab.worker.RETRY", 0.05)
    assert Worker(folder).run() == 0
    assert any(state == "paused" and "the disk refuses the checkpoint" in words for state, words in said)
    assert Job(folder).status().state == "stopped"
    assert recorded.checkpoints(folder) == [5]


def test_a_folder_that_cannot_be_written_is_told(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    job = Job(runs / "berry")
    job.folder.mkdir(parents=True)
    notes.write(job.folder / "job.json", {"config": tiny.to_dict(), "steps": 9})
    notes.write(job.folder / "status.json", {"state": "training", "step": 3, "steps": 9, "beat": time.monotonic()})
    monkeypatch.setattr(process, "alive", lambda folder: True)
    for error, words in (
        (errno.EROFS, r"cannot be written \(read-only file system\); .* STRAWBERRY_RUNS"),
        (errno.ENOSPC, "is full; make room on it"),
        (errno.EIO, "check the disk"),
    ):

        def refuse(*_: object, error: int = error, **__: object) -> None:
            raise full(error)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            for action in (job.pause, job.stop, lambda: job.look_at("a text")):
                with pytest.raises(JobError, match=words):
                    action()
            patch.setattr(os, "mkdir", refuse)
            with pytest.raises(JobError, match=words):
                jobs.start(runs, "other", tiny, pasted=TEXT)
    assert [path.name for path in runs.iterdir()] == ["berry"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB, where this user may make one."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this user may not mount a disk; the tests above refuse writes instead")
    yield place
    for job in jobs.every(place / "runs"):
        job.kill()
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
def test_a_real_disk_fills_up(tiny: Config, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.room.BESIDES", 0)
    monkeypatch.setattr("lab.room.LEAST", 0)
    job = jobs.start(small / "runs", "berry", tiny, steps=500, pasted=TEXT)
    until(job, lambda status: len(recorded.checkpoints(job.folder)) > 0)
    with open(small / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    told = until(job, lambda status: not status.live)
    assert (told.state, told.cause) == ("failed", "disk")
    saved = recorded.checkpoints(job.folder)[-1]
    assert f"resume goes on from step {saved}" in told.advice
    with pytest.raises(JobError, match=r"is full; make room|disk and"):
        job.resume()
    (small / "filler").unlink()
    job.resume()
    until(job, lambda status: status.state == "training" and status.step > saved)
    job.stop()
    assert until(job, lambda status: not status.live).state == "stopped"


def test_states_and_causes_are_spelled_alike(folder: Path) -> None:
    for cause in ("disk", "memory", "diverged", "killed", "asked", "crashed"):
        assert endings.advice(folder, cause).endswith(".")
    assert set(status.LIVE) < set(status.STATES)

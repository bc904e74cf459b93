"""The runs as a person keeps them: what there is, what tells two apart, renamed and removed without losing others."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from lab import jobs, notes, recorded, tickets
from lab.jobs import Job, JobError, Status
from strawberry.config import Config
from strawberry.errors import RunError, StrawberryError
from strawberry.lock import RunLock
from strawberry.runs import named_run

DELETED, INCOMING = ".deleted-", ".incoming-"  # folders on their way out and in
TAIL = 1 << 18  # bytes of an event file in which the newest losses are looked for


@dataclass(frozen=True)
class Entry:
    """One run in a line. loss: nats per token in validation, or in training where that is all there is; accuracy:
    share of right answers, of a task; parameters, bits_per_byte: None while unknown; bytes: its size on disk; created:
    seconds since the epoch."""

    job: Job
    status: Status
    family: str
    loss: float | None
    bits_per_byte: float | None
    accuracy: float | None
    parameters: int | None
    bytes: int
    created: float
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.job.name

    def matches(self, words: str) -> bool:
        """Whether each of the words is in the name, state, family, data, or any ``field=value`` of the run."""
        about = f"{self.name} {self.status.state} {self.family} "
        about += " ".join(f"{name}={value}" for name, value in self.fields.items())
        return all(word in about.lower() for word in words.lower().split())


def entries(runs_folder: Path) -> list[Entry]:
    """Every run in the folder, the newest first; a run that is damaged is listed with what can be read."""
    return [_entry(job) for job in jobs.every(runs_folder)]


def differences(chosen: Sequence[Entry]) -> pd.DataFrame:
    """One line per field in which the runs differ, one column per run; "–" where a run has no such field."""
    names = dict.fromkeys(name for entry in chosen for name in entry.fields)
    lines = {}
    for name in names:
        values = [str(entry.fields.get(name, "–")) for entry in chosen]
        if len(set(values)) > 1:
            lines[name] = values
    made = pd.DataFrame.from_dict(lines, orient="index", columns=[entry.name for entry in chosen], dtype=str)
    return made.rename_axis("field")


def rename(runs_folder: Path, name: str, new: str) -> Job:
    """Give a run another name; raises RunError when it is at work, or the name cannot be used or is taken."""
    with tickets.turn(runs_folder):
        folder = _still(runs_folder, name)
        target = named_run(runs_folder, new)
        if os.path.lexists(target):
            raise JobError(f"a run called {new!r} is already there; choose another name")
        folder.rename(target)
    return Job(target)


def delete(runs_folder: Path, name: str) -> None:
    """Remove a run with all that it saved, for good; raises RunError when it is at work or is no run."""
    with tickets.turn(runs_folder):
        folder = _still(runs_folder, name)
        # Out of the list at once, and then it may take its time; a link inside is removed, not followed.
        doomed = Path(tempfile.mkdtemp(prefix=DELETED, dir=runs_folder))
        folder.rename(doomed / folder.name)
    shutil.rmtree(doomed, ignore_errors=True)
    if doomed.exists():
        raise RunError(f"run {name!r} is off the list, but a part of it could not be removed: {doomed}")


def sweep(runs_folder: Path, older: float = 3600.0) -> None:
    """Remove what a removal or an import that was killed left behind, unless it is younger than so many seconds."""
    for prefix in (DELETED, INCOMING):
        for path in runs_folder.glob(f"{prefix}*"):
            with contextlib.suppress(OSError):
                if not path.is_symlink() and time.time() - path.stat().st_mtime > older:
                    shutil.rmtree(path, ignore_errors=True)


def _still(runs_folder: Path, name: str) -> Path:
    """The folder of a run that nothing is at work on."""
    job = jobs.find(runs_folder, name)
    if job is None or job.folder.is_symlink():
        raise JobError(f"there is no run called {name!r} here")
    if job.status().live:
        raise JobError(f"run {name!r} is at work; stop it first")
    with held(job.folder):
        return job.folder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the run's lock, which no trainer must have; RunError when one has."""
    lock = RunLock(folder)
    try:
        yield
    finally:
        lock.release()


def _entry(job: Job) -> Entry:
    asked = job.request
    fields = notes.read(job.folder / "config.json") or asked.get("config") or {}
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    plan = notes.read(job.folder / "plan.json")
    data = plan.get("data") or asked.get("data")
    if data:
        fields["data"] = Path(str(data)).name
    if steps := plan.get("steps") or asked.get("steps"):
        fields["steps"] = steps
    told = _told(job.folder)
    return Entry(
        job, job.status(), str(fields.get("family", "–")), told.get("loss"), told.get("bits_per_byte"),
        told.get("accuracy"), told.get("parameters"), size(job.folder), created(job), fields,
    )  # fmt: skip


def created(job: Job) -> float:
    """When the run was begun, in seconds since the epoch."""
    when = job.request.get("created")
    if isinstance(when, int | float):
        return float(when)
    for name in ("environment.json", "config.json"):
        with contextlib.suppress(OSError):
            return (job.folder / name).stat().st_mtime
    return 0.0


def size(folder: Path) -> int:
    """Bytes that a run takes on the disk; what links lead to is not counted."""
    # The record grows all the time, everything else by files that come and go.
    parts = (folder, folder / "probes", folder / "checkpoints")
    return _rest(str(folder), tuple(_stat(part).st_mtime_ns for part in parts)) + _stat(folder / "events.jsonl").st_size


@lru_cache(maxsize=512)
def _rest(folder: str, changed: tuple[int, ...]) -> int:
    del changed
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if name != "events.jsonl":
                total += _stat(os.path.join(place, name)).st_size
    return total


def _stat(path: str | Path) -> os.stat_result:
    """What the system knows of a file; nothing at all where there is none."""
    try:
        return os.lstat(path)
    except OSError:
        return os.stat_result((0,) * 10)


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "events.jsonl"
    try:
        found = path.stat()
    except OSError:
        return {}
    return _newest(str(path), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=512)
def _newest(path: str, changed: int, length: int) -> dict[str, Any]:
    """What the events of a file tell in one line."""
    del changed, length
    told: dict[str, Any] = {}
    with contextlib.suppress(OSError), open(path, "rb") as file, contextlib.suppress(ValueError, AttributeError):
        parameters = json.loads(file.readline(TAIL)).get("parameters")
        told["parameters"] = parameters if isinstance(parameters, int) else None
    for event in recorded.tail(Path(path), TAIL):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if event["event"] == "evaluated":
                per_byte, right = event["bits_per_byte"], event.get("accuracy")
                told |= {"loss": float(event["loss"]), "validated": True}
                told |= {"bits_per_byte": None if per_byte is None else float(per_byte)}
                told |= {"accuracy": None if right is None else float(right)}
            elif event["event"] == "step" and "validated" not in told:
                told["loss"] = float(event["loss"])
    return told


def described(job: Job) -> Config | None:
    """The configuration of a run, or None where it cannot be read."""
    fields = notes.read(job.folder / "config.json") or job.request.get("config")
    try:
        return Config.from_dict(fields) if fields else None
    except StrawberryError:
        return None

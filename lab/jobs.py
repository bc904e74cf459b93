"""Training as a supervised subprocess: started, paused and found again by name, and never the server's problem."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import line, notes, process, recorded, room, tickets
from lab import status as statuses
from lab.look import look
from lab.status import LIVE, STATES, Status
from lab.tickets import JobError
from strawberry.config import Config
from strawberry.errors import RunError
from strawberry.runs import PASTED, named_run

__all__ = ["LIVE", "STATES", "Job", "JobError", "Status", "every", "find", "runs_folder", "start"]


@dataclass(frozen=True)
class Job:
    """A run folder together with the subprocess that trains in it, if there is one."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, by which the run is found again."""
        return self.folder.name

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for: ``config``, ``data``, ``steps``, ``text``; empty for a run made on the command line."""
        return notes.read(self.folder / "job.json")

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as the run keeps it, else as it was asked for; empty where there is none yet."""
        return notes.read(self.folder / "config.json") or self.request.get("config") or {}

    @property
    def steerable(self) -> bool:
        """Whether this run was started here, so that it can be paused and resumed from here."""
        return bool(self.request)

    def status(self) -> Status:
        """What the job is doing now, in words too."""
        return statuses.read(self.folder)

    def pause(self) -> None:
        """Ask the worker to save a checkpoint after the present step and wait; the next run in line begins."""
        self._want("pause")

    def step(self) -> None:
        """Ask a paused worker for one training step."""
        self._want("step")

    def stop(self) -> None:
        """Ask the worker to save a checkpoint and end; a run that waits leaves the line.

        Before the first step there is nothing to save, and the worker ends at once.
        """
        status = self.status()
        if status.place:
            self.leave()
        if status.state == "waiting":
            return
        if status.state in ("starting", "preparing data"):
            process.kill(self.folder)
            told = {"state": "stopped", "sentence": "Stopped before the first step.", "steps": status.steps}
            with tickets.written(self.folder):
                notes.write(self.folder / "status.json", {**told, "step": status.step, "updated": time.time()})
        else:
            self._want("stop")

    def leave(self) -> None:
        """Take a run that waits out of the line: it stays as it is until it is resumed."""
        tickets.leave(self.folder)

    def first(self) -> None:
        """Let a run that waits be the next."""
        tickets.lead(self.folder)

    def resume(self, *, beside: bool = False) -> None:
        """Go on, from where it was paused or from the newest sound checkpoint, as soon as no other run trains.

        A paused run is the next in line then; any other is the last. ``beside``: at once, whoever trains. Raises
        :class:`JobError` when it cannot go on, or not for want of memory or disk.
        """
        with tickets.turn(self.folder.parent):
            status, asked = self.status(), self.request
            if not asked:
                raise JobError(
                    f"run {self.name!r} was made on the command line; go on with `strawberry train --run … --resume`"
                )
            if status.live and status.state != "paused":
                return
            if status.live:
                tickets.take(self.folder, first=True)
            else:
                holders = statuses.training(self.folder.parent, paused=True)
                _check(room.room_of(self.folder, holders), now=beside or not queues(self.folder.parent))
                with tickets.written(self.folder):
                    notes.write(self.folder / "job.json", {**asked, "resume": True})
                tickets.take(self.folder)
            if beside:
                line.begin(self.folder)
        line.advance(self.folder.parent)

    def look_at(self, text: str) -> None:
        """Have pictures taken of the model reading ``text`` (empty: a passage of the validation text).

        While a worker is at it, that goes for all pictures from now on; otherwise the newest checkpoint is pictured,
        which takes seconds. Raises :class:`RunError` when there is no checkpoint, or no picture can be taken.
        """
        with tickets.written(self.folder):
            if self.steerable:
                notes.write(self.folder / "job.json", {**self.request, "text": text.strip()})
            if self.status().live and self.steerable:
                path = self.folder / "control.json"
                notes.write(path, {"want": "run", "presses": 0, **notes.read(path), "text": text.strip()})
                return
        look(self.folder, text)

    def kill(self) -> None:
        """End a worker that no longer listens; what came after its last checkpoint is lost."""
        self.leave()
        process.kill(self.folder)

    def log(self, lines: int = 40) -> str:
        """The last lines that the worker wrote to its output."""
        try:
            with open(self.folder / "worker.log", "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 200 * lines))
                return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _want(self, want: str) -> None:
        if not self.status().live:
            raise JobError(f"run {self.name!r} is not training, so it cannot {want}; resume it first")
        path = self.folder / "control.json"
        control = notes.read(path)
        presses = control.get("presses", 0) + (want == "step")
        with tickets.written(self.folder):
            notes.write(path, {**control, "want": want, "presses": presses})


def runs_folder() -> Path:
    """Where runs live: ``STRAWBERRY_RUNS``, or ``runs`` under the working directory."""
    return Path(os.environ.get("STRAWBERRY_RUNS") or "runs").resolve()


def start(
    runs_folder: str | Path,
    name: str,
    config: Config,
    data: str = "sotu",
    steps: int = 1000,
    *,
    text: str = "",
    pasted: str | None = None,
    beside: bool = False,
) -> Job:
    """Begin a run called ``name``, or give it a place in the line while others train, and return at once.

    ``data`` is a corpus or a path, as :func:`strawberry.train` takes it; ``pasted`` is a text of the person's own, kept
    in the run folder and used in its place. ``text`` is what the probes look at, by default a passage of the validation
    text. ``beside``: begin at once, whoever trains. Raises :class:`JobError`, and leaves nothing behind, when the name
    is taken, when the folder cannot be written, or when memory or disk do not suffice: ever for a run that waits, now
    for one that begins.
    """
    folder = named_run(runs_folder, name)
    if steps < 1:
        raise JobError(f"a run needs at least 1 step; got {steps}")
    size = len(pasted) if pasted is not None else room.weight(Path(data).expanduser())
    memory, disk = room.needs(config, size)
    asked = {"config": config.to_dict(), "data": data if pasted is None else PASTED, "steps": steps}
    asked |= {"text": text.strip(), "resume": False, "created": time.time(), "memory": memory, "disk": disk}
    with tickets.turn(runs_folder):
        if os.path.lexists(folder):
            raise JobError(f"a run called {name!r} is already there; choose another name")
        holders = statuses.training(folder.parent, paused=True)
        _check(room.room(config, folder.parent, holders, text=size), now=beside or not queues(folder.parent))
        with tickets.written(folder):
            folder.mkdir()
        try:
            with tickets.written(folder):
                if pasted is not None:
                    (folder / PASTED).write_bytes(pasted.encode())
                notes.write(folder / "job.json", asked)
            tickets.take(folder)
            if beside:
                line.begin(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    line.advance(folder.parent)
    return Job(folder)


def queues(runs_folder: Path) -> bool:
    """Whether a run that is started now has to wait: others wait already, or as many train as may."""
    return bool(tickets.waiting(runs_folder)) or len(statuses.training(runs_folder)) >= tickets.at_once(runs_folder)


def find(runs_folder: str | Path, name: str) -> Job | None:
    """The run of that name, or None; the name may come from a link, so it cannot lead out of the folder."""
    try:
        folder = named_run(runs_folder, name)
    except RunError:
        return None
    return Job(folder) if recorded.is_run(folder) else None


def every(runs_folder: str | Path) -> list[Job]:
    """All runs in the folder, the newest first."""
    return [Job(path) for path in sorted(recorded.runs(Path(runs_folder)), key=_born, reverse=True)]


def _check(found: room.Room, *, now: bool) -> None:
    """Raise :class:`JobError` when a run has no room: not now if it begins now, not ever if it waits."""
    if wrong := found.lacking if now else found.never:
        raise JobError(wrong)


def _born(folder: Path) -> float:
    created = notes.read(folder / "job.json").get("created")
    if isinstance(created, int | float):
        return created
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0

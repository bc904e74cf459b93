"""Studies of the dashboard: begun, stopped, gone on with and found again by name, each run by a process of its own.

A study waits in the same line as runs do, and counts as one of them.
"""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import line, notes, process, tickets
from lab import status as statuses
from lab.ablate.study import Study, StudyError
from strawberry.errors import RunError
from strawberry.runs import named_run

if TYPE_CHECKING:
    from lab.ablate.results import Results

STUDY, STATUS, CONTROL, RESULTS = "study.json", "status.json", "control.json", "results.json"
LIVE = ("starting", "preparing", "training")


@dataclass(frozen=True)
class Status:
    """What a study is doing: ``state`` is one of :data:`LIVE`, "waiting", "finished", "stopped" or "failed".

    share: of the steps, from 0 to 1. seconds_left: None while that is not known. ``place`` in the line is 1 for the
    next one and 0 for one that does not wait.
    """

    state: str
    sentence: str = ""
    share: float = 0.0
    seconds_left: float | None = None
    place: int = 0

    @property
    def live(self) -> bool:
        """Whether a process is at it."""
        return self.state in LIVE


@dataclass(frozen=True)
class Desk:
    """A study's folder, and the process that runs it, if there is one."""

    folder: Path

    @property
    def name(self) -> str:
        """The study's name, by which it is found again."""
        return self.folder.name

    @property
    def study(self) -> Study:
        """What is asked; raises :class:`StudyError` when it cannot be read."""
        return Study.read(self.folder)

    @property
    def jobs(self) -> int:
        """How many trainings run at once."""
        jobs = notes.read(self.folder / "desk.json").get("jobs")
        return jobs if type(jobs) is int and jobs > 0 else 1

    def status(self) -> Status:
        """What the study is doing now; a process that died without a word is told of."""
        alive, told = process.alive(self.folder), notes.read(self.folder / STATUS)
        state, share, left = told.get("state"), told.get("share"), told.get("seconds_left")
        if not alive and (self.folder / tickets.TICKET).exists() and (waits := statuses.read(self.folder)).place:
            return Status("waiting", waits.sentence, float(share or 0.0), place=waits.place)
        if state is None:
            if alive:
                return Status("starting", "Python is loading torch.")
            complete = self.results() is not None
            return Status("finished" if complete else "stopped", "" if complete else "It has not begun yet.")
        if state in LIVE and not alive:
            return Status("failed", "Its process ended without a word; it can go on from where it was.", share or 0.0)
        return Status(str(state), str(told.get("sentence", "")), float(share or 0.0), left)

    def results(self) -> "Results | None":
        """What is known so far; None where nothing is."""
        if not (self.folder / RESULTS).is_file():
            return None
        # Its statistics take a second to load.
        from lab.ablate.results import Results

        return Results.read(self.folder)

    def stop(self) -> None:
        """Ask the workers to save and end; a study that waits leaves the line."""
        if self.status().place:
            self.leave()
            return
        with tickets.written(self.folder):
            notes.write(self.folder / CONTROL, {"want": "stop"})

    def leave(self) -> None:
        """Take a study that waits out of the line: it stays as it is until it goes on."""
        tickets.leave(self.folder)

    def first(self) -> None:
        """Let a study that waits be the next."""
        tickets.lead(self.folder)

    def resume(self, jobs: int | None = None, *, beside: bool = False) -> None:
        """Go on with whatever is left as soon as nothing else trains, or ``beside`` it; nothing is trained twice."""
        with tickets.turn(self.folder.parent):
            if self.status().live:
                return
            # One that has said its last word may not be gone yet.
            process.kill(self.folder)
            with tickets.written(self.folder):
                _note(self.folder, jobs or self.jobs)
            tickets.take(self.folder)
            if beside:
                line.begin(self.folder)
        line.advance(self.folder.parent)

    def log(self, lines: int = 30) -> str:
        """The last lines that the process wrote."""
        try:
            return "\n".join((self.folder / "clerk.log").read_text("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""


def start(runs_folder: str | Path, study: Study, jobs: int = 1, *, beside: bool = False) -> Desk:
    """Begin a study, or give it a place in the line while others train, and return at once.

    ``beside``: begin at once, whoever trains. Raises :class:`StudyError` when the name is taken.
    """
    folder = named_run(runs_folder, study.name)
    with tickets.turn(runs_folder):
        if folder.exists():
            raise StudyError(f"{study.name!r} is taken in the runs folder; choose another name")
        with tickets.written(folder):
            folder.mkdir()
            notes.write(folder / STUDY, study.to_dict())
            _note(folder, jobs)
        tickets.take(folder)
        if beside:
            line.begin(folder)
    line.advance(folder.parent)
    return Desk(folder)


def begin(folder: Path) -> None:
    """Start a study's process at its turn; :func:`lab.line.begin` calls it."""
    if not Desk(folder).status().live:
        _spawn(folder, Desk(folder).jobs)


def find(runs_folder: str | Path, name: str) -> Desk | None:
    """The study of that name, or None; the name may come from a link, so it cannot lead out of the folder."""
    try:
        folder = named_run(runs_folder, name)
    except RunError:
        return None
    return Desk(folder) if (folder / STUDY).is_file() else None


def every(runs_folder: str | Path) -> list[Desk]:
    """All studies in the runs folder, the newest first."""
    found = [path.parent for path in Path(runs_folder).glob(f"*/{STUDY}") if not path.parent.is_symlink()]
    return [Desk(folder) for folder in sorted(found, key=_born, reverse=True)]


def _born(folder: Path) -> float:
    created: Any = notes.read(folder / "desk.json").get("created")
    try:
        return float(created) if isinstance(created, int | float) else folder.stat().st_mtime
    except OSError:
        return 0.0


def _note(folder: Path, jobs: int) -> None:
    """Keep how many trainings are to run at once, and when the study was asked for."""
    born = notes.read(folder / "desk.json").get("created", time.time())
    notes.write(folder / "desk.json", {"jobs": jobs, "created": born})


def _spawn(folder: Path, jobs: int) -> None:
    """Start a clerk; what an earlier one said is forgotten."""
    notes.sweep(folder)
    for stale in (STATUS, CONTROL, process.WORKER, process.ENDED):
        (folder / stale).unlink(missing_ok=True)
    with open(folder / "clerk.log", "ab") as log:
        # A session of its own, so that neither Ctrl-C at the server nor its death reaches the study.
        child = subprocess.Popen(
            [sys.executable, "-m", "lab.ablate.clerk", str(folder), str(jobs)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=process.environment(),
            start_new_session=True,
        )
    notes.write(folder / process.WORKER, process.mark(child.pid))
    # Collects the clerk when it ends, so that no zombie stays behind.
    threading.Thread(target=child.wait, daemon=True).start()

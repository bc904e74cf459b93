"""What a run is doing, read from its folder: its state, and in words how far it is, whom it waits for, how it ended."""

import contextlib
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab import endings, notes, process, recorded, room, tickets
from strawberry.errors import StrawberryError

# A worker is alive in these states, and only in these.
LIVE = ("starting", "preparing data", "training", "paused")
STATES = ("waiting", *LIVE, "finished", "stopped", "failed")
QUIET = 30.0  # seconds without a heartbeat after which a reader is told


@dataclass(frozen=True)
class Status:
    """What a run is doing: ``state`` is one of :data:`STATES`, ``sentence`` says it in words; times in seconds.

    ``cause`` tells failures apart ("disk", "memory", "diverged", "killed", "asked", "crashed"), and ``advice`` says
    what to do about one. ``place`` in the line is 1 for the next run and 0 for one that doesn't wait; a run that is
    paused, with its worker alive, may wait too.
    """

    state: str
    sentence: str = ""
    step: int = 0
    steps: int = 0
    tokens_per_s: float | None = None
    eta: float | None = None
    updated: float = 0.0
    cause: str = ""
    advice: str = ""
    place: int = 0

    @property
    def live(self) -> bool:
        """Whether a worker is at it, paused or not."""
        return self.state in LIVE


def read(folder: Path) -> Status:
    """What the run in ``folder`` is doing now; a worker that died without a word is reported as failed, in words."""
    status = _worker(folder)
    if status.state == "failed":
        status = replace(status, advice=endings.advice(folder, status.cause))
    if (status.live and status.state != "paused") or not (folder / tickets.TICKET).exists():
        return status
    line = tickets.waiting(folder.parent)
    if folder not in line:
        return status
    place = line.index(folder) + 1
    return _waits(folder, status, place, line[place - 2] if place > 1 else None)


def training(runs_folder: Path, *, paused: bool = False) -> list[Path]:
    """The folders of the runs and studies that train or are about to, by name.

    ``paused`` counts runs that only hold their memory too.
    """
    found = []
    for folder in sorted([*recorded.runs(runs_folder), *recorded.studies(runs_folder)]):
        status = _worker(folder)
        # One that was told to go on may not have heard it yet.
        goes_on = status.state == "paused" and notes.read(folder / "control.json").get("want") == "run"
        if status.live and (paused or goes_on or status.state != "paused"):
            found.append(folder)
    return found


def nth(number: int) -> str:
    """1st, 2nd, 3rd, 4th, …"""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _worker(folder: Path) -> Status:
    """What the worker says, or its keeper, or the record that it left."""
    # Liveness first: a worker that ends well writes its last status before it goes.
    alive = process.alive(folder)
    told = _told(folder / process.LAST_WORDS) or _told(folder / "status.json")
    if told is None:
        return _unheard(folder, alive)
    status, beat = told
    if status.live and not alive:
        cause, sentence = endings.died(folder, status.step)
        return replace(status, state="failed", sentence=sentence, eta=None, cause=cause)
    silence = time.monotonic() - beat if beat is not None else time.time() - status.updated
    if status.state == "training" and silence > QUIET:
        words = f"No sign of life for {silence:.0f} s: a step may be long, or the machine busy."
        return replace(status, sentence=words)
    return status


def _unheard(folder: Path, alive: bool) -> Status:
    """The status of a run whose worker has not said a word, or which has none."""
    asked = notes.read(folder / "job.json")
    steps = asked["steps"] if _count(asked.get("steps")) else 0
    if alive:
        return Status("starting", "The worker is starting.", steps=steps)
    if any((folder / name).exists() for name in (process.WORKER, process.KEEPER)):
        return Status("failed", "The worker ended before it said a word.", steps=steps, cause="crashed")
    if asked and not (folder / "events.jsonl").exists():
        return Status("stopped", "It has not begun yet.", steps=steps)
    return Status(*recorded.ending(folder))


def _told(path: Path) -> tuple[Status, float | None] | None:
    """What a status file says, and when, on the clock that nobody sets; None where it says nothing that makes sense."""
    said = notes.read(path)
    if said.get("state") not in STATES:
        return None
    fields = {name: said[name] for name, holds in _FIELDS.items() if name in said and holds(said[name])}
    beat = said.get("beat")
    return Status(**fields), beat if isinstance(beat, int | float) and _finite(beat) else None


def _waits(folder: Path, status: Status, place: int, before: Path | None) -> Status:
    """The status of a run that has a place in the line."""
    if before is not None:
        sentence = f"{nth(place)} in line, behind {before.name}; it begins by itself."
    else:
        sentence = f"1st in line, {_turn(folder)}"
    if status.state == "paused":
        return replace(status, sentence=f"{status.sentence} It wants to go on: {sentence}", place=place)
    return replace(status, state="waiting", sentence=sentence, place=place, eta=None, cause="", advice="")


def _turn(folder: Path) -> str:
    """What the next run in line waits for."""
    others = training(folder.parent)
    if others and len(others) >= tickets.at_once(folder.parent):
        names = " and ".join(other.name for other in others[:3])
        return f"behind {names}; it begins by itself when that run ends or is paused."
    with contextlib.suppress(StrawberryError):
        lacking = room.room_of(folder, training(folder.parent, paused=True)).lacking
        if lacking:
            return f"and waits for room: {lacking}."
    return "and begins in a moment."


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _number(value: Any) -> bool:
    return value is None or _finite(value)


def _words(value: Any) -> bool:
    return isinstance(value, str)


_FIELDS = {
    "state": _words, "sentence": _words, "step": _count, "steps": _count, "tokens_per_s": _number, "eta": _number,
    "updated": _finite, "cause": _words,
}  # fmt: skip

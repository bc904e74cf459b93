"""The line of runs and studies: whoever is alive lets the next one begin, and no two ever begin the same one.

A worker's keeper calls `python -m lab.line RUNS_FOLDER` when its worker has ended, in whatever way; a dashboard that is
open looks every few seconds. So the line goes on without a server, and without a worker's last word.
"""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from lab import notes, process, recorded, room, status, tickets
from strawberry.errors import StrawberryError

BEAT = 2.0  # seconds between two looks at the line


def advance(runs_folder: str | Path) -> list[str]:
    """Let runs begin, the first in line first, as long as there is room for one more; returns their names.

    A run that lacks memory or disk at its turn waits for it, and the others wait behind it.
    """
    runs_folder, begun = Path(runs_folder), []
    if not tickets.waiting(runs_folder):
        return begun
    with tickets.turn(runs_folder):
        for folder in tickets.waiting(runs_folder):
            now = status.read(folder)
            if now.place == 0:
                # Whoever began it died before its ticket was torn up.
                tickets.drop(folder)
                continue
            others = status.training(runs_folder)
            if len(others) >= tickets.at_once(runs_folder):
                break
            if not now.live and _lacks(folder):
                break
            begin(folder)
            begun.append(folder.name)
    return begun


def begin(folder: Path) -> None:
    """Let a run or a study begin or go on at once, and take it out of the line; hold :func:`lab.tickets.turn`."""
    with tickets.written(folder):
        if recorded.is_study(folder):
            # Runs must not need what studies need.
            from lab.ablate import desk

            desk.begin(folder)
        elif status.read(folder).live:
            path = folder / "control.json"
            notes.write(path, {**notes.read(path), "want": "run"})
        else:
            process.spawn(folder)
    tickets.drop(folder)


@cache
def attend(where: Callable[[], Path]) -> None:
    """Look after the line in ``where()`` for as long as this process lives; returns at once."""
    threading.Thread(target=_attend, args=(where,), daemon=True, name="line").start()


def hand_on(runs_folder: Path) -> None:
    """Let the next run begin, waiting for its room while nothing else trains that could do it later."""
    while tickets.waiting(runs_folder):
        begun: list[str] = []
        with contextlib.suppress(StrawberryError):
            begun = advance(runs_folder)
        if begun or status.training(runs_folder):
            return
        time.sleep(BEAT)


def _lacks(folder: Path) -> str:
    # A run that is damaged may begin: its worker says what is wrong.
    with contextlib.suppress(StrawberryError):
        return room.room_of(folder, status.training(folder.parent, paused=True)).lacking
    return ""


def _attend(where: Callable[[], Path]) -> None:
    complaint = ""
    while True:
        try:
            advance(where())
            complaint = ""
        except Exception as error:
            # Once, not every two seconds.
            if str(error) != complaint:
                complaint = str(error)
                known = isinstance(error, StrawberryError)
                logging.getLogger(__name__).warning("the line stands still: %s", error, exc_info=not known)
        time.sleep(BEAT)


if __name__ == "__main__":
    hand_on(Path(sys.argv[1]))

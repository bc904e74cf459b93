"""A run's ``events.jsonl``: appended a whole line at a time, read by cursor while it grows, cut when a run resumes."""

import errno
import os
from pathlib import Path

from strawberry.checkpoint import sync_folder
from strawberry.errors import RunError
from strawberry.events import Event, Warned


class EventLog:
    """The writing end. One process writes; any number read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, event: Event) -> None:
        """Write one line; raises :class:`RunError`, leaving no half line, when the disk refuses."""
        line = event.to_line().encode()
        before = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, "the disk is full")
        except OSError as error:
            os.ftruncate(self._handle, before)
            raise RunError(f"{self.path} could not be written: {error.strerror or error}") from error

    def sync(self) -> None:
        """Return when the lines so far are on the disk itself."""
        os.fsync(self._handle)

    def cut(self, step: int) -> None:
        """Drop every event after ``step``, and a half-written last line: what a resumed run will tell again."""
        size = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            event = _parsed(line, "")
            if not line.endswith(b"\n") or getattr(event, "step", 0) > step:
                break
            size += len(line)
        os.ftruncate(self._handle, size)
        os.fsync(self._handle)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_events(path: Path, cursor: int = 0) -> tuple[list[Event], int]:
    """The events after ``cursor`` (a byte offset, 0 for the start) and the cursor to go on from.

    A last line that is still being written waits for the next call. A line that cannot be read becomes a
    :class:`~strawberry.events.Warned`. When a resume has cut the file below the cursor, reading starts over; a
    reader that meets a ``Started`` forgets what it had of later steps.
    """
    try:
        with path.open("rb") as file:
            if cursor > os.fstat(file.fileno()).st_size:
                cursor = 0
            file.seek(cursor)
            content = file.read()
    except FileNotFoundError:
        return [], 0
    whole = content[: content.rfind(b"\n") + 1]
    events = [_parsed(line, path.name) for line in whole.split(b"\n")[:-1]]
    return events, cursor + len(whole)


def _parsed(line: bytes, name: str) -> Event:
    try:
        return Event.from_line(line)
    except (ValueError, TypeError):
        return Warned(f"a line of {name} cannot be read and is skipped")

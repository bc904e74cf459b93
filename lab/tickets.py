"""Places in the line of runs that wait for their turn: one small file in each of them, and a lock over all.

Places are numbers, not times, so that a clock that is set changes no order.
"""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import notes
from strawberry.errors import RunError
from strawberry.lock import RunLock

TICKET = "ticket.json"
FOLDER = ".line"  # in the runs folder: the lock and the settings
AT_ONCE = "STRAWBERRY_AT_ONCE"
MOST = 64  # runs at once
PATIENCE = 20.0  # seconds to wait for the lock


class JobError(RunError):
    """A run cannot be started, resumed or steered as asked."""


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a :class:`JobError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise JobError(refusal(error, folder)) from error


def refusal(error: OSError, folder: Path) -> str:
    """What a disk's refusal means for a run in ``folder``, and what to do about it, in one sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that holds {str(folder)!r} is full; make room on it and try again"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return (
            f"{str(folder)!r} cannot be written ({(error.strerror or 'refused').lower()}); change its permissions, or "
            "start the dashboard with STRAWBERRY_RUNS set to a folder of yours"
        )
    return f"{str(folder)!r} could not be written ({error.strerror or error}); check the disk and try again"


@contextmanager
def turn(runs_folder: str | Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the runs folder: nobody on this machine begins, resumes, renames or removes a run in it meanwhile.

    Raises :class:`JobError` when the folder cannot be written, or stays held for ``patience`` seconds. The system lets
    go of it when the process that holds it dies.
    """
    place = Path(runs_folder) / FOLDER
    end = time.monotonic() + patience
    with written(Path(runs_folder)):
        place.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                lock = RunLock(place)
                break
            except RunError:
                if time.monotonic() > end:
                    raise JobError("another process is busy starting a run here; try again in a moment") from None
                time.sleep(0.01)
    try:
        yield
    finally:
        lock.release()


def waiting(runs_folder: str | Path) -> list[Path]:
    """The folders of the runs that have a ticket, the next one first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(runs_folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    path = os.path.join(entry.path, TICKET)
                    if os.path.exists(path):
                        found.append((_number(Path(path)), entry.name, Path(entry.path)))
    return [path for *_, path in sorted(found)]


def leave(folder: Path) -> None:
    """Take what waits in ``folder`` out of the line: it stays as it is until it is gone on with."""
    if (folder / TICKET).exists():
        with turn(folder.parent):
            drop(folder)


def lead(folder: Path) -> None:
    """Let what waits in ``folder`` be the next."""
    with turn(folder.parent):
        if folder in waiting(folder.parent)[1:]:
            take(folder, first=True)


def take(folder: Path, *, first: bool = False) -> None:
    """Give a run the last place in the line, or the first; hold :func:`turn` meanwhile."""
    others = [_number(path / TICKET) for path in waiting(folder.parent) if path != folder]
    number = (min(others, default=1) - 1) if first else (max(others, default=0) + 1)
    with written(folder):
        notes.write(folder / TICKET, {"number": number})


def drop(folder: Path) -> None:
    """Give a run's place away, if it has one."""
    with written(folder):
        (folder / TICKET).unlink(missing_ok=True)


def at_once(runs_folder: str | Path) -> int:
    """How many runs may train at once: ``STRAWBERRY_AT_ONCE``, else what the dashboard was told, else 1."""
    for value in (os.environ.get(AT_ONCE), notes.read(_settings(runs_folder)).get("at_once")):
        with contextlib.suppress(TypeError, ValueError):
            return min(max(int(value), 1), MOST)  # type: ignore[arg-type]
    return 1


def set_at_once(runs_folder: str | Path, number: int) -> None:
    """Let so many runs train at once from now on; raises :class:`JobError` when that cannot be or be kept."""
    if os.environ.get(AT_ONCE):
        raise JobError(f"{AT_ONCE} decides how many runs train at once; unset it to decide here")
    if not 1 <= number <= MOST:
        raise JobError(f"between 1 and {MOST} runs can train at once; got {number}")
    with turn(runs_folder), written(Path(runs_folder)):
        notes.write(_settings(runs_folder), {"at_once": number})


def _settings(runs_folder: str | Path) -> Path:
    return Path(runs_folder) / FOLDER / "settings.json"


def _number(ticket: Path) -> int:
    number = notes.read(ticket).get("number")
    # A ticket that cannot be read is a place all the same: the last one.
    return number if type(number) is int else 1 << 62

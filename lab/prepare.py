"""Makes tokens of the default text while a person still reads the form, so that the first run begins sooner.

`python -m lab.prepare` does it and ends; whoever needs the tokens meanwhile waits rather than making them twice.
"""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache

from lab import process
from strawberry.data.cache import cache_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PRESET, DATA = "strawberry-nano", "sotu"
PATIENCE = 60.0  # seconds; after that a waiting worker goes ahead by itself


@cache
def ahead() -> None:
    """Start preparing in a process of its own; once per process, and at once back."""
    child = subprocess.Popen(
        [sys.executable, "-m", "lab.prepare"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=process.environment(),
    )
    threading.Thread(target=child.wait, daemon=True).start()


@contextlib.contextmanager
def turn(patience: float = PATIENCE) -> Iterator[bool]:
    """Hold the preparing lock, waiting at most ``patience`` seconds for it; whether it was had is what it yields.

    The system lets go of it when its process dies in whatever way.
    """
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "preparing.lock", "a")  # noqa: SIM115
    except OSError:
        yield False
        return
    with lock:
        end = time.monotonic() + patience
        had = fcntl is None
        while fcntl is not None and not had:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                had = True
            except OSError:
                if time.monotonic() > end:
                    break
                time.sleep(0.05)
        yield had


def main() -> None:
    """Prepare the default text for the default preset."""
    with turn(0.0) as had:
        if had:
            import strawberry
            from strawberry.data import load

            load(DATA, strawberry.preset(PRESET))


if __name__ == "__main__":
    main()

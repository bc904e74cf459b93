"""One trainer per run folder: a lock that the system itself releases when its process dies."""

import os
from pathlib import Path

from strawberry.errors import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class RunLock:
    """Holds ``folder/lock`` until :meth:`release`; raises :class:`RunError` when another trainer holds it.

    The file itself stays and says who held it last: a lock left by a dead process is free.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = -1
        self.path = folder / "lock"
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _take(self._handle):
            holder = os.read(self._handle, 32).decode(errors="replace").strip() if fcntl else ""
            os.close(self._handle)
            self._handle = -1
            who = "this process" if holder == str(os.getpid()) else f"process {holder or 'unknown'}"
            raise RunError(f"run {folder} is being trained by {who}; stop that training first, or choose another run")
        os.ftruncate(self._handle, 0)
        os.write(self._handle, str(os.getpid()).encode())

    def release(self) -> None:
        """Let another trainer in; releasing twice is fine."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        self.release()


def _take(handle: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True

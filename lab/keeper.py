"""Waits for one worker, notes how it ended, and lets the next run in line begin; a few megabytes, with no server.

Started by `lab.process` as ``python -I keeper.py RUN_FOLDER``, by its file: importing the package would take as much
memory as a worker does.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ENDED = "ended.json"


def main() -> None:
    """Run the worker of a run folder to its end."""
    folder = Path(sys.argv[1])
    leaving: list[int] = []
    # At a shutdown every process is asked to end: the worker saves, and nothing new begins.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: leaving.append(number))
    killed_before = oom_kills()
    # A session of its own here too, so that what ends the keeper does not end the training.
    code = subprocess.call(
        [sys.executable, "-m", "lab.worker", str(folder)], stdin=subprocess.DEVNULL, start_new_session=True
    )
    killed = oom_kills() > killed_before
    # Where even this cannot be written, the last heartbeat has to do.
    with contextlib.suppress(OSError):
        _write(folder / ENDED, {"code": code, "memory": code == -9 and killed})
    if not leaving and any(folder.parent.glob("*/ticket.json")):
        subprocess.call([sys.executable, "-m", "lab.line", str(folder.parent)], stdin=subprocess.DEVNULL)


def oom_kills() -> int:
    """How many processes the system has ended so far for want of memory, on this machine; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, ValueError):
        return 0


def _write(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()

"""The worker's process: started in a session of its own, recognised by number and start time, ended if need be."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from lab import notes

_ROOT = Path(__file__).resolve().parent.parent


def spawn(folder: Path) -> None:
    """Start a worker on a run folder; what an earlier worker said there is forgotten."""
    for stale in ("status.json", "control.json", "worker.json"):
        (folder / stale).unlink(missing_ok=True)
    with open(folder / "worker.log", "ab") as log:
        # A session of its own, so that neither Ctrl-C at the server nor its death reaches the training.
        child = subprocess.Popen(
            [sys.executable, "-m", "lab.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
    # Collects the worker when it ends, so that no zombie stays behind.
    threading.Thread(target=child.wait, daemon=True).start()
    notes.write(folder / "worker.json", {"pid": child.pid, "created": _created(child.pid)})


def environment() -> dict[str, str]:
    """The environment in which a worker finds these packages and shares the machine with a browser."""
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        # Threads that spin while they wait for each other are ten times slower once a browser wants a core too.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
    }


def alive(folder: Path) -> bool:
    """Whether the worker that was started on this folder still runs, whoever started it."""
    worker = notes.read(folder / "worker.json")
    pid, created = worker.get("pid"), worker.get("created")
    if not isinstance(pid, int) or not isinstance(created, float):
        return False
    try:
        process = psutil.Process(pid)
        # The start time tells it from a later process that was given the same number.
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - created) < 2.0
    except psutil.Error:
        return False


def kill(folder: Path, patience: float = 5.0) -> None:
    """End the worker at once, and wait up to ``patience`` seconds until it is gone."""
    if not alive(folder):
        return
    # Where it is gone already, or beyond our reach, `alive` tells.
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(notes.read(folder / "worker.json")["pid"])
        process.kill()
        process.wait(patience)


def free_memory() -> float:
    """Bytes of memory that a process may still take, on this machine or in this container."""
    free = float(psutil.virtual_memory().available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        free = min(free, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no container, or one without a limit
    return free


def _created(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0

"""The worker's process: started in a session of its own, recognised by number and start time, ended if need be."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from lab import keeper, notes

_ROOT = Path(__file__).resolve().parent.parent
WORKER, KEEPER, ENDED = "worker.json", "keeper.json", keeper.ENDED
LAST_WORDS = "last-words.json"  # what a worker says when status.json cannot be written


def spawn(folder: Path) -> None:
    """Start a worker on a run folder, with its keeper; what an earlier worker said there is forgotten."""
    notes.sweep(folder)
    for stale in ("status.json", "control.json", WORKER, KEEPER, ENDED, LAST_WORDS):
        (folder / stale).unlink(missing_ok=True)
    with open(folder / "worker.log", "ab") as log:
        # A session of its own, so that neither Ctrl-C at the server nor its death reaches the training.
        child = subprocess.Popen(
            [sys.executable, "-I", keeper.__file__, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
    # Collects the keeper when it ends, so that no zombie stays behind.
    threading.Thread(target=child.wait, daemon=True).start()
    notes.write(folder / KEEPER, mark(child.pid))


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


def mark(pid: int) -> dict[str, Any]:
    """What tells a process from any later one with the same number, also on another day; empty where it is gone."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:
        return {}
    return {"pid": pid, "created": created, "started": _started(pid)}


def alive(folder: Path) -> bool:
    """Whether the worker that was started on this folder still runs, whoever started it."""
    worker = notes.read(folder / WORKER)
    if worker:
        return _runs(worker)
    # Until the worker has noted itself, its keeper stands for it.
    return not (folder / ENDED).exists() and _runs(notes.read(folder / KEEPER))


def ended(folder: Path, patience: float = 0.3) -> dict[str, Any]:
    """What the keeper noted of the worker's end; empty where there is no note, and no keeper that could still write it.

    Between the end and the note lie milliseconds; more than ``patience`` seconds are not waited for it.
    """
    end = time.monotonic() + patience
    while not (told := notes.read(folder / ENDED)) and time.monotonic() < end and _runs(notes.read(folder / KEEPER)):
        time.sleep(0.01)
    return told


def kill(folder: Path, patience: float = 5.0) -> None:
    """End the worker at once, and wait up to ``patience`` seconds until it is gone."""
    if not alive(folder):
        return
    # Where it is gone already, or beyond our reach, `alive` tells.
    with contextlib.suppress(psutil.Error):
        worker = notes.read(folder / WORKER)
        doomed = psutil.Process((worker or notes.read(folder / KEEPER))["pid"])
        if doomed.pid == os.getpid():
            return
        doomed.suspend()
        # A keeper may have a worker already that has not noted itself.
        every = [doomed, *doomed.children()]
        for process in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(every, patience)


def first_to_go() -> None:
    """When memory runs out, the system ends this process rather than the dashboard."""
    # Other systems have no such file.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def taken_memory(folder: Path) -> float:
    """Bytes of memory that the folder's worker holds; 0 where there is none."""
    try:
        return float(psutil.Process(notes.read(folder / WORKER)["pid"]).memory_info().rss) if alive(folder) else 0.0
    except (psutil.Error, KeyError):
        return 0.0


def free_memory() -> float:
    """Bytes of memory that a process may still take, on this machine or in this container."""
    free, limit = float(psutil.virtual_memory().available), _limit()
    if limit is not None:
        with contextlib.suppress(OSError, ValueError):
            free = min(free, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return free


def whole_memory() -> float:
    """Bytes of memory that there are, on this machine or in this container."""
    return min(float(psutil.virtual_memory().total), _limit() or float("inf"))


def _limit() -> int | None:
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return None  # no container, or one without a limit


def _runs(noted: dict[str, Any]) -> bool:
    pid, created, started = noted.get("pid"), noted.get("created"), noted.get("started")
    if type(pid) is not int or not isinstance(created, float):
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if started and (now := _started(pid)):
            return started == now
        return abs(process.create_time() - created) < 2.0
    except (psutil.Error, ValueError, OverflowError):
        return False


def _started(pid: int) -> str:
    """The boot and the tick at which a process began: no clock that is set can change them. Empty where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name, in parentheses, may hold anything; the start time is the 22nd field.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{boot}:{fields[19]}"
    except (OSError, IndexError):
        return ""

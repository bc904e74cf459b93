"""A dashboard of a benchmark's own, in a process of its own, over a runs folder."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "streamlit", "run", "app.py"]
PATIENCE = 120.0  # seconds until it answers


@contextmanager
def server(runs: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A fresh dashboard over a runs folder: its address, and its process; ends the program where none answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [*COMMAND, "--server.port", str(port), "--server.headless", "true"]
    environment = {**os.environ, "STRAWBERRY_RUNS": str(runs)}
    served = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _answers(served, address)
        yield address, psutil.Process(served.pid)
    finally:
        served.terminate()
        served.wait(20)


def _answers(served: "subprocess.Popen[bytes]", address: str) -> None:
    """Return once the server answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if served.poll() is not None:
            sys.exit(f"the dashboard ended at once, with code {served.returncode}; streamlit run app.py says why")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"the dashboard did not answer within {PATIENCE:g} s; streamlit run app.py says why")

"""A dashboard that is really served, and a browser that really opens it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import jobs

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts" / "browser"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@dataclass(frozen=True)
class Served:
    """A running dashboard: its address, and its runs folder."""

    address: str
    runs: Path


def chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("STRAWBERRY_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; the test is skipped, with the reason printed, where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: install it (Debian: apt install chromium) or set STRAWBERRY_CHROMIUM")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The dashboard on a free port, for each file of tests one with runs and a cache of its own, which ends with it."""
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A cache that is cold, as on a fresh machine, and threads as a person's machine would have them.
    own = {"STRAWBERRY_RUNS": str(folder / "runs"), "STRAWBERRY_CACHE": str(folder / "cache")}
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | own
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app.py",
        "--server.port",
        str(port),
        "--server.headless",
        "true",
    ]
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server, folder / "server.log")
        yield Served(address, folder / "runs")
    finally:
        for job in jobs.every(folder / "runs"):
            job.leave()
        for job in jobs.every(folder / "runs"):
            job.kill()
        server.terminate()
        server.wait(20)


@pytest.fixture
def artefacts() -> Path:
    """Where screenshots are left for a person to look at; git ignores it."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not come up:\n{log.read_text()}")

"""The keeper: it notes how its worker ended, lets the next run begin, outlives nothing it need not, and stays small."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lab import keeper, notes, tickets


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A package that plays the worker and the line: the worker does what the run's ``act.py`` says."""
    lab = tmp_path / "stage" / "lab"
    lab.mkdir(parents=True)
    (lab / "__init__.py").touch()
    (lab / "worker.py").write_text("import sys\nexec(open(sys.argv[1] + '/act.py').read())\n")
    (lab / "line.py").write_text("import sys\nopen(sys.argv[1] + '/handed-on', 'w').close()\n")
    return lab.parent


def kept(stage: Path, runs: Path, act: str, *, waiting: bool = True) -> "subprocess.Popen[bytes]":
    """A keeper of a worker that does ``act``, with another run in line."""
    for name in ("one", "next"):
        (runs / name).mkdir(parents=True)
    (runs / "one" / "act.py").write_text(act)
    if waiting:
        tickets.take(runs / "next")
    command = [sys.executable, "-I", keeper.__file__, str(runs / "one")]
    return subprocess.Popen(command, cwd=stage, env={**os.environ, "PYTHONPATH": str(stage)})


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 11)", -signal.SIGSEGV),
    ],
)
def test_it_notes_how_the_worker_ended_and_hands_on(stage: Path, tmp_path: Path, act: str, code: int) -> None:
    runs = tmp_path / "runs"
    assert kept(stage, runs, act).wait(30) == 0
    assert notes.read(runs / "one" / "ended.json") == {"code": code, "memory": False}
    assert (runs / "handed-on").exists()


def test_it_calls_nobody_when_nobody_waits(stage: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert kept(stage, runs, "", waiting=False).wait(30) == 0
    assert not (runs / "handed-on").exists()


def test_a_shutdown_begins_nothing_and_ends_no_worker(stage: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    act = "import os, time\nopen(sys.argv[1] + '/here', 'w').write(str(os.getsid(0)))\ntime.sleep(1.0)"
    child = kept(stage, runs, act)
    end = time.monotonic() + 20
    while not (runs / "one" / "here").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert psutil.Process(child.pid).memory_info().rss < 25e6
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 0
    assert notes.read(runs / "one" / "ended.json")["code"] == 0
    assert not (runs / "handed-on").exists()
    assert int((runs / "one" / "here").read_text()) != os.getsid(0)


def test_a_note_that_cannot_be_written_does_not_hold_up_the_line(stage: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    # Not even root can replace a folder by a file.
    act = "import os; os.mkdir(sys.argv[1] + '/ended.json'); open(sys.argv[1] + '/ended.json/x', 'w').close()"
    assert kept(stage, runs, act).wait(30) == 0
    assert (runs / "handed-on").exists()


def test_kills_for_want_of_memory_are_counted() -> None:
    assert keeper.oom_kills() >= 0

"""One trainer per run: a living one keeps others out, a dead one does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from strawberry.errors import RunError
from strawberry.lock import RunLock

_HOLD = """
import sys, time
from pathlib import Path
from strawberry.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_keeps_a_second_one_out(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    with pytest.raises(RunError, match="is being trained by this process; stop that"):
        RunLock(tmp_path)
    lock.release()
    lock.release()
    RunLock(tmp_path).release()


def test_another_process_is_named_and_its_death_frees_the_run(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"by process {holder.pid};"):
            RunLock(tmp_path)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    lock = RunLock(tmp_path)
    assert (tmp_path / "lock").read_text() == str(os.getpid())
    lock.release()

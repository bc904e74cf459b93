"""Killed at random moments, a study ends with the same results, bit for bit, and no step is told twice."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.ablate.gathering import gather
from lab.ablate.queue import Board, work
from lab.ablate.study import Study
from strawberry.events import Evaluated, Step
from strawberry.runs import open_run

Make, Begin = Callable[..., Study], Callable[[Study], Path]
KILLS = 20
STEPS, CELLS = 12, 12


def untimed(folder: Path) -> dict[str, Any]:
    """The results in a folder without what depends on the clock, and without the notes of having gone on."""
    told = gather(Board(folder), "").to_dict()
    for one in (*told["rows"], *told["cells"]):
        for name in ("seconds", "tokens_per_s", "warnings"):
            one.pop(name, None)
    return {name: value for name, value in told.items() if name != "study"}


def weights(folder: Path) -> dict[str, bytes]:
    """The last checkpoint's tensors of every cell."""
    found = folder.glob(f"cells/*/checkpoints/step-{STEPS}/*.safetensors")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.slow
@pytest.mark.parametrize("last", ["finished", "saved", "evaluated"])
def test_killed_before_the_last_words_of_a_training(last: str, make: Make, begun: Begin) -> None:
    """All is computed, and the file of events lacks its last lines, from the first that tells of ``last`` on."""
    whole, cut = (begun(make(name=name, steps=STEPS, evaluations=3)) for name in ("whole", "cut"))
    work(whole)
    shutil.copytree(whole, cut, dirs_exist_ok=True, ignore=shutil.ignore_patterns("study.json"))
    for cell in (cut / "cells").iterdir():
        lines = (cell / "events.jsonl").read_text().splitlines(keepends=True)
        kept = [line for line in lines if not (json.loads(line)["event"] == last and json.loads(line)["step"] == STEPS)]
        kept = kept[: next(n for n, (old, new) in enumerate(zip(lines, [*kept, ""], strict=False)) if old != new)]
        assert len(kept) < len(lines)
        (cell / "events.jsonl").write_text("".join(kept))
    assert Board(cut).tasks()
    work(cut)
    assert not Board(cut).tasks()
    assert untimed(cut) == untimed(whole) and weights(cut) == weights(whole)
    for cell in (cut / "cells").iterdir():
        assert [event.step for event in open_run(cell).events() if isinstance(event, Evaluated)] == [4, 8, 12]


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_repeated(make: Make, begun: Begin) -> None:
    whole, killed = (begun(make(name=name, steps=STEPS, evaluations=3)) for name in ("whole", "killed"))
    work(whole)
    # The last steps are left out, since the workers might be done before they are heard of.
    moments = sorted(random.Random(KILLS).sample(range(1, STEPS * CELLS - 12), KILLS))
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(killed), *map(str, moments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == KILLS

    assert untimed(killed) == untimed(whole)
    assert weights(killed) == weights(whole)
    assert len(weights(whole)) == 2 * CELLS
    for path in (killed / "cells").iterdir():
        events = open_run(path).events()
        assert [event.step for event in events if isinstance(event, Step)] == list(range(1, STEPS + 1))
        assert [event.step for event in events if isinstance(event, Evaluated)] == [4, 8, 12]
        assert [event.event for event in events].count("finished") == 1
        assert not list(path.glob("checkpoints/*.tmp"))
    assert not Board(killed).tasks()


@pytest.mark.slow
def test_workers_do_not_outlive_the_command(make: Callable[..., Study], tmp_path: Path) -> None:
    """Where only the command is killed, its workers save and end; the same command goes on from there."""
    file = tmp_path / "mixers.json"
    file.write_text(json.dumps(make(steps=100_000, evaluations=1, learning_rates=[0.01]).to_dict()))
    command = [sys.executable, "-m", "strawberry", "ablate", str(file), "--runs", str(tmp_path), "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 200
    while not any(path.read_bytes().count(b"\n") > 5 for path in tmp_path.glob("mixers/cells/*/events.jsonl")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert any("lab.ablate.worker" in worker.cmdline() for worker in workers)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=100)
    assert not alive
    [cell] = (tmp_path / "mixers" / "cells").iterdir()
    [saved] = open_run(cell).steps()
    assert [event.step for event in open_run(cell).events() if isinstance(event, Step)] == list(range(1, saved + 1))

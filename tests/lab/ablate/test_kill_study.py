"""Killed at random moments, a study ends with the same results, bit for bit, and no step is told twice.

``STRAWBERRY_KILLS=20 pytest tests/lab/ablate/test_kill_study.py`` kills it twenty times instead of five.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.gathering import gather
from lab.ablate.queue import Board, work
from lab.ablate.study import Study
from strawberry.runs import open_run

KILLS = int(os.environ.get("STRAWBERRY_KILLS", "5"))
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
def test_killed_at_random_moments_nothing_is_lost_or_repeated(
    make: Callable[..., Study], begun: Callable[[Study], Path]
) -> None:
    whole, killed = (begun(make(name=name, steps=STEPS, evaluations=3)) for name in ("whole", "killed"))
    work(whole)
    # The last steps are left out, since the workers might be done before they are heard of.
    moments = sorted(random.Random(KILLS).sample(range(1, STEPS * CELLS - 4), KILLS))
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(killed), *map(str, moments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == KILLS

    assert untimed(killed) == untimed(whole)
    assert weights(killed) == weights(whole)
    assert len(weights(whole)) == 2 * CELLS
    for path in (killed / "cells").iterdir():
        events = open_run(path).events()
        assert [event.step for event in events if event.event == "step"] == list(range(1, STEPS + 1))  # type: ignore[attr-defined]
        assert [event.step for event in events if event.event == "evaluated"] == [4, 8, 12]  # type: ignore[attr-defined]
        assert [event.event for event in events].count("finished") == 1
        assert not list(path.glob("checkpoints/*.tmp"))
    assert not Board(killed).tasks()

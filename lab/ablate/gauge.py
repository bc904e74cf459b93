"""How long a study will take, before it is begun: some steps of each variant are timed, in a process of their own."""

import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab import process
from lab.ablate.budget import matched
from lab.ablate.halving import rungs
from lab.ablate.study import Study, StudyError
from strawberry.train import Trainer

STEPS = 4  # of which the first is slow, and not counted
PATIENCE = 300.0  # seconds
BESIDES = 1.25  # evaluating, saving and starting, in units of the time spent in steps
SLOW = 2e9  # FLOPs per second that a core reaches on small models, where nothing was timed


@dataclass(frozen=True)
class Cost:
    """trainings: how many there are, without those of wider learning rates. seconds: of one worker.

    timed: whether steps were timed, or guessed.
    """

    trainings: int
    seconds: float
    timed: bool


def expected(study: Study, paces: dict[tuple[str, str], float] | None = None) -> Cost:
    """What a study costs; ``paces``: seconds of a step of each (variant, data), as :func:`timed` tells them.

    Raises :class:`StudyError` when budgets cannot be matched.
    """
    trainings, seconds = 0, 0.0
    for pair, budget in matched(study).items():
        pace = paces[pair] if paces else budget.flops / budget.steps / SLOW
        rates = len(study.rates(*pair))
        trainings += len(study.seeds) + (rates if rates > 1 else 0)
        steps = len(study.seeds) * budget.steps + (_tuning(study, rates, budget.steps) if rates > 1 else 0)
        seconds += steps * pace
    return Cost(trainings, BESIDES * seconds, paces is not None)


def timed(study: Study) -> dict[tuple[str, str], float]:
    """Seconds of one step of each (variant, data), measured now; raises :class:`StudyError` when that fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.json"
        path.write_text(json.dumps(study.to_dict()), encoding="utf-8")
        command = [sys.executable, "-m", "lab.ablate.gauge", str(path)]
        environment = process.environment() | {"OMP_NUM_THREADS": str(study.threads)}
        try:
            told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise StudyError(f"timing took longer than {PATIENCE:.0f} s; choose a smaller model") from None
    if told.returncode:
        raise StudyError(told.stderr.strip().splitlines()[-1] if told.stderr.strip() else "timing failed")
    return {(variant, data): pace for variant, data, pace in json.loads(told.stdout)}


def measure(study: Study) -> list[tuple[str, str, float]]:
    """Variant, data and seconds of a step, measured in this process."""
    found = []
    for (variant, data), budget in matched(study).items():
        with Trainer(budget.config, data, None, STEPS, eval_batches=1) as trainer:
            ends = [event.seconds for event in trainer if event.event == "step"]  # type: ignore[attr-defined]
        found.append((variant, data, (ends[-1] - ends[0]) / (len(ends) - 1)))
    return found


def _tuning(study: Study, rates: int, steps: int) -> int:
    """Steps of all trials of one variant on one data set."""
    total, alive, before = 0, rates, 0
    for rung in rungs(rates, steps, max(1, -(-steps // study.evaluations)), study.halving):
        total, before = total + alive * (rung - before), rung
        alive = max(1, math.ceil(alive / study.halving))
    return total + alive * (steps - before)


if __name__ == "__main__":
    import torch

    from strawberry.errors import StrawberryError

    try:
        asked = Study.from_dict(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        torch.set_num_threads(asked.threads)
        sys.stdout.write(json.dumps(measure(asked)))
    except StrawberryError as error:
        sys.exit(str(error))

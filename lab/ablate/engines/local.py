"""Workers as processes of this machine, one core or one GPU each."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from lab import process
from lab.ablate.study import StudyError

PATIENCE = 120.0  # seconds in which a worker that was asked to stop finishes its step and saves


class Local:
    """Subprocesses, which end by themselves when this process dies."""

    def __init__(self, folder: Path, jobs: int, threads: int) -> None:
        logs = folder / "workers"
        logs.mkdir(exist_ok=True)
        self.logs = [logs / f"{number}.log" for number in range(jobs)]
        self._children = [self._spawn(folder, number, threads) for number in range(jobs)]

    def _spawn(self, folder: Path, number: int, threads: int) -> "subprocess.Popen[bytes]":
        gpus = torch.cuda.device_count()
        place = (
            {"CUDA_VISIBLE_DEVICES": str(number % gpus)} if gpus and "CUDA_VISIBLE_DEVICES" not in os.environ else {}
        )
        with open(self.logs[number], "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "lab.ablate.worker", str(folder), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**process.environment(), **place, "OMP_NUM_THREADS": str(threads)},
                # Ctrl-C is for the one who started them all, who then asks them to stop.
                start_new_session=True,
            )

    def alive(self) -> int:
        """Workers that have not ended."""
        return sum(child.poll() is None for child in self._children)

    def stop(self) -> None:
        """Ask all workers to save and end; those that do not are ended."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        for child in self._children:
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def trouble(self) -> list[str]:
        """One sentence for each worker that ended otherwise than by having nothing left to do."""
        ended = [(number, child.poll()) for number, child in enumerate(self._children)]
        return [
            f"worker {number} was ended by signal {-code}"
            if code < 0
            else f"worker {number} failed; {self.logs[number]} says why"
            for number, code in ended
            if code
        ]


def start(folder: Path, jobs: int, threads: int, options: dict[str, str]) -> Local:
    """Start workers as processes; there are no options."""
    if options:
        raise StudyError(f"the engine local has no option {', '.join(options)}; leave it out")
    return Local(folder, jobs, threads)

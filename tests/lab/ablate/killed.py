"""Workers of a study that are killed again and again, each time when so many steps are told: run by test_kill_study.py.

Each worker is a fork of one process that has imported torch and done nothing else: as many imports would take minutes.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # the first optimiser step imports it; here, once for all

from lab.ablate.queue import work

torch.set_num_threads(1)
WORKERS = 2
LATE = 0.05  # seconds


def told(folder: Path) -> int:
    """Steps that the cells' events tell by now."""
    return sum(path.read_bytes().count(b'"event": "step"') for path in folder.glob("cells/*/events.jsonl"))


def fork(folder: Path) -> int:
    """A worker's process number."""
    child = os.fork()
    if child == 0:
        try:
            work(folder)
        finally:
            os._exit(0)
    return child


def main(folder: Path, moments: list[int]) -> None:
    """Kill all workers at each moment, then let one finish; print how many steps were told at each death."""
    chance = random.Random(0)
    for moment in moments:
        workers = [fork(folder) for _ in range(WORKERS)]
        while told(folder) < moment:
            time.sleep(0.002)
            if any(os.waitpid(worker, os.WNOHANG)[0] for worker in workers):
                sys.exit(f"a worker ended by itself before {moment} steps")
        # Not always after a step: while saving, evaluating, or between two cells as well.
        time.sleep(chance.uniform(0, LATE))
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        ends = [os.waitpid(worker, 0)[1] for worker in workers]
        assert all(os.WIFSIGNALED(end) for end in ends)
        print(told(folder), flush=True)
    os.waitpid(fork(folder), 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(moment) for moment in sys.argv[2:]])

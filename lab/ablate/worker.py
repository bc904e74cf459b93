"""One worker of a study as a process: ``python -m lab.ablate.worker FOLDER [PARENT]``; works until nothing is left."""

import os
import sys
from pathlib import Path

import torch

from lab.ablate.queue import Board, work
from strawberry.cli.interruption import Interruption


def run(folder: str | Path, parent: int | None = None) -> None:
    """Work on a study in this process; asked to stop by a signal, or by the death of ``parent``, it saves first."""
    # The last bits of a sum depend on the number of threads.
    torch.set_num_threads(Board(Path(folder)).study.threads)
    with Interruption() as interruption:
        work(folder, lambda: interruption.asked is not None or (parent is not None and os.getppid() != parent))


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else None)

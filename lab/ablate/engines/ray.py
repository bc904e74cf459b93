"""Workers as tasks of a Ray cluster: one that is there, or one that is started on this machine."""

import os
from pathlib import Path
from typing import Any

# Ray reports its use over the network unless told otherwise.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
from ray.exceptions import RayError

from lab.ablate.engines import value
from lab.ablate.study import StudyError

# Ray 2.60 gives its server 30 seconds to name its port, and its node 30 to register: a busy machine may need more.
ATTEMPTS = 3


class Ray:
    """Tasks of one Ray session, which ends with :meth:`stop`."""

    def __init__(self, folder: Path, jobs: int, threads: int, options: dict[str, Any]) -> None:
        if "address" not in options:
            options = {"num_cpus": jobs * threads, "include_dashboard": False, **options}
        settings = {"env_vars": {"OMP_NUM_THREADS": str(threads)}}
        _begin({"log_to_driver": False, "runtime_env": settings, **options})
        task = ray.remote(num_cpus=threads, max_retries=0)(_work)
        self._tasks = [task.remote(str(folder)) for _ in range(jobs)]

    def alive(self) -> int:
        """Tasks that run or wait."""
        return len(ray.wait(self._tasks, num_returns=len(self._tasks), timeout=0)[1])

    def stop(self) -> None:
        """End all tasks; what came after a cell's last checkpoint is trained again when the study goes on."""
        ray.shutdown()

    def trouble(self) -> list[str]:
        """A sentence for each task that failed."""
        sentences = []
        for number, task in enumerate(ray.wait(self._tasks, num_returns=len(self._tasks), timeout=0)[0]):
            try:
                ray.get(task)
            except RayError as error:
                sentences.append(f"task {number} failed: {str(error).strip().splitlines()[-1]}")
        return sentences


def _begin(options: dict[str, Any]) -> None:
    for attempt in range(ATTEMPTS):
        try:
            ray.init(**options)
            return
        except Exception as error:  # it raises them bare
            ray.shutdown()
            if "timed out" not in str(error).lower() or attempt == ATTEMPTS - 1:
                raise StudyError(f"ray could not be started: {error}") from None


def _work(folder: str) -> None:
    """Ray runs tasks beside the main thread, where signals cannot be heard."""
    import torch

    from lab.ablate.queue import Board, work

    torch.set_num_threads(Board(Path(folder)).study.threads)
    work(folder)


def start(folder: Path, jobs: int, threads: int, options: dict[str, str]) -> Ray:
    """Start workers; options are those of ``ray.init``, such as ``address=auto``."""
    return Ray(folder.resolve(), jobs, threads, {name: value(text) for name, text in options.items()})

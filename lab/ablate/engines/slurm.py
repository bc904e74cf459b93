"""Workers as jobs of a cluster: by submitit on Slurm, or on this machine where there is no Slurm."""

from pathlib import Path
from typing import Any

import submitit

from lab.ablate.engines import value
from lab.ablate.study import StudyError
from lab.ablate.worker import run

MINUTES = 24 * 60  # a job's time where no other is given


class Worker:
    """What a job runs; a job whose time is over, or that makes room for others, is queued again and goes on."""

    def __call__(self, folder: str) -> None:
        run(folder)

    def checkpoint(self, folder: str) -> submitit.helpers.DelayedSubmission:
        """Called by submitit before the job ends; the folder holds all that the next one needs."""
        return submitit.helpers.DelayedSubmission(self, folder)


class Slurm:
    """Jobs of one submitit executor."""

    def __init__(self, folder: Path, jobs: int, cluster: str | None, options: dict[str, Any]) -> None:
        executor = submitit.AutoExecutor(folder=folder / "workers", cluster=cluster)
        executor.update_parameters(**options)
        self._jobs = [executor.submit(Worker(), str(folder)) for _ in range(jobs)]

    def alive(self) -> int:
        """Jobs that run or wait."""
        return sum(not job.done() for job in self._jobs)

    def stop(self) -> None:
        """Cancel all jobs; what came after a cell's last checkpoint is trained again when the study goes on."""
        for job in self._jobs:
            job.cancel()

    def trouble(self) -> list[str]:
        """A sentence for each job that failed."""
        failed = [job for job in self._jobs if job.done() and job.exception() is not None]
        return [f"job {job.job_id} failed; {job.paths.stderr} says why" for job in failed]


def start(folder: Path, jobs: int, threads: int, options: dict[str, str]) -> Slurm:
    """Submit workers; options are submitit's, such as ``timeout_min``, ``slurm_partition`` and ``cluster``."""
    given = {name: value(text) for name, text in options.items()}
    cluster = given.pop("cluster", None)
    wanted = {"name": folder.name, "timeout_min": MINUTES, "cpus_per_task": threads, **given}
    try:
        return Slurm(folder, jobs, None if cluster is None else str(cluster), wanted)
    except (ValueError, NameError, TypeError) as error:
        raise StudyError(f"submitit refuses these options: {error}") from None

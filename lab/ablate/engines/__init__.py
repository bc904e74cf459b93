"""What starts a study's workers: processes of this machine, jobs of a cluster, or tasks of a Ray cluster.

An engine only starts workers and tells how many are left: what they do, and who does what, the folder decides.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Protocol

from lab import recorded
from lab.ablate.study import StudyError

ENGINES = {"local": "lab.ablate.engines.local", "submitit": "lab.ablate.engines.slurm", "ray": "lab.ablate.engines.ray"}


class Engine(Protocol):
    """Workers on one study's folder."""

    def alive(self) -> int:
        """How many workers are at it, or wait for their turn on the cluster."""
        ...

    def stop(self) -> None:
        """End all workers, letting them save where the engine can; returns when they are gone."""
        ...

    def trouble(self) -> list[str]:
        """A sentence for each worker that ended badly."""
        ...


def check(name: str) -> None:
    """Raise :class:`StudyError` when an engine is unknown, or what it needs is not installed."""
    if name not in ENGINES:
        raise StudyError(f"engine {name!r} is unknown; the engines are {', '.join(ENGINES)}")
    try:
        import_module(ENGINES[name])
    except ImportError as error:
        if not str(error.name).startswith(name):
            raise
        raise StudyError(
            f"the engine {name} needs the package {name}, which is not installed: pip install 'strawberry-lab[sweep]'"
        ) from None


def start(name: str, folder: Path, jobs: int, threads: int, options: dict[str, str]) -> Engine:
    """Start ``jobs`` workers on a study's folder; ``options`` are the engine's own.

    Raises :class:`StudyError` as :func:`check` does, where the engine does not know an option, and where the folder
    holds no study.
    """
    check(name)
    if not recorded.is_study(folder):
        raise StudyError(f"there is no study in {str(folder)!r}; strawberry ablate makes such folders")
    return import_module(ENGINES[name]).start(folder, jobs, threads, options)


def default_jobs(threads: int) -> int:
    """As many workers as this machine has GPUs, or else cores for ``threads`` each."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return torch.cuda.device_count() or max(1, cores // threads)


def value(text: str) -> int | float | bool | str:
    """An option's value as what it looks like: a whole number, a number, true or false, or a word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

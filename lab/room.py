"""Whether a run has room: the memory that its training needs and the disk that it fills, asked before it starts."""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lab import notes, process, recorded
from strawberry.config import Config

OWN = 5e8  # bytes that Python and torch themselves take
BESIDES = 3e7  # bytes of events, pictures and samples that a run leaves beside its checkpoints
TEXT = 20  # bytes of memory for each byte of text, while it becomes tokens (measured: 12 at 16 MB)
MOST_FILES = 20_000  # of a folder whose size is asked
LEAST = 2e7  # bytes of disk without which nothing is begun
KEPT = 4  # checkpoints on the disk while the fourth is written and the oldest of three is still there


@dataclass(frozen=True)
class Room:
    """What a run needs and what there is, in bytes. ``free``: memory now, less what runs that train will still take;
    ``held``: names of runs that hold memory meanwhile; ``whole``: memory of the machine; disk likewise."""

    need: float
    free: float
    whole: float
    disk_need: float
    disk_free: float
    held: tuple[str, ...] = ()

    @property
    def never(self) -> str:
        """Why this machine can never train it, in one sentence, or nothing."""
        if self.need <= self.whole:
            return ""
        return (
            f"this model needs about {gigabytes(self.need)} of memory to train and this machine has "
            f"{gigabytes(self.whole)}; choose a smaller preset, width, batch or sequence"
        )

    @property
    def lacking(self) -> str:
        """Why it cannot begin now, in one sentence that says what to do, or nothing."""
        if self.never:
            return self.never
        if self.need > self.free:
            others = f" (while {_names(self.held)} may take theirs)" if self.held else ""
            stop = f", or stop {_names(self.held)}" if self.held else ", or close other programs"
            return (
                f"this model needs about {gigabytes(self.need)} of memory to train and "
                f"{gigabytes(max(self.free, 0))} are free{others}; choose a smaller preset, width, batch or sequence"
                f"{stop}"
            )
        if self.disk_need > self.disk_free:
            return (
                f"its checkpoints need about {gigabytes(self.disk_need)} of disk and {gigabytes(self.disk_free)} are "
                "free; make room, or delete runs on the Runs page"
            )
        return ""


def room(config: Config, runs_folder: Path, others: Sequence[Path] = (), *, text: int = 0) -> Room:
    """What a run of ``config`` needs and what there is for it, beside the runs in ``others`` that hold memory.

    ``text``: bytes of the text it learns from, where they are known.
    """
    return _room(*needs(config, text), runs_folder, others)


def room_of(folder: Path, others: Sequence[Path]) -> Room:
    """The same for a run that was asked for in ``folder``; of a study only what a small one takes."""
    asked = notes.read(folder / "job.json")
    need, disk = asked.get("memory"), asked.get("disk")
    if recorded.is_study(folder):
        need, disk = OWN, BESIDES
    if not isinstance(need, int | float) or not isinstance(disk, int | float):
        need, disk = needs(Config.from_dict(asked.get("config") or {}))
    return _room(need, disk, folder.parent, others)


def needs(config: Config, text: int = 0) -> tuple[float, float]:
    """Bytes of memory that training takes on ``text`` bytes, and bytes of disk that a run fills.

    On a GPU, whose memory the trainer checks itself, no memory is asked for the model.
    """
    import torch

    memory, parameters = _estimated(json.dumps(config.to_dict()))
    gpu = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    # Weights and one or two moments of the optimiser.
    checkpoint = 4.0 * parameters * (2 if config.optimizer == "muon" else 3)
    return (0.0 if gpu else memory) + OWN + TEXT * text, KEPT * checkpoint + BESIDES + text


def disk_free(folder: Path) -> float:
    """Bytes that are free on the disk of a folder, which need not be there yet; endless where nobody knows."""
    for place in (folder, *folder.parents):
        try:
            return float(shutil.disk_usage(place).free)
        except OSError:
            continue
    return float("inf")


def weight(path: Path) -> int:
    """Bytes of a text file, or of the files in a folder, hidden ones aside; of a huge folder only its beginning."""
    try:
        if not path.is_dir():
            return path.stat().st_size
    except (OSError, ValueError):
        return 0
    total = seen = 0
    for base, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            seen += 1
            with contextlib.suppress(OSError):
                total += 0 if name.startswith(".") else os.stat(os.path.join(base, name)).st_size
        if seen > MOST_FILES:
            break
    return total


def gigabytes(value: float) -> str:
    """Bytes for a sentence: 1.2 GB, 340 MB."""
    return f"{value / 1e9:,.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _room(need: float, disk: float, runs_folder: Path, others: Sequence[Path]) -> Room:
    owed, held = 0.0, []
    for folder in others:
        asked = notes.read(folder / "job.json").get("memory")
        taken = process.taken_memory(folder)
        if taken or asked:
            held.append(folder.name)
        # A training that has just begun has not taken all that it will.
        owed += max(float(asked) - taken, 0.0) if isinstance(asked, int | float) else 0.0
    free = process.free_memory() - owed
    return Room(need, free, process.whole_memory(), max(disk, LEAST), disk_free(runs_folder), tuple(held))


@lru_cache(maxsize=128)
def _estimated(described: str) -> tuple[float, int]:
    import strawberry

    try:
        cost = strawberry.estimate(Config.from_dict(json.loads(described)))
    except (RuntimeError, OverflowError):  # not even its size can be computed
        return float(1 << 62), 0
    return float(cost.memory_bytes), cost.parameters


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

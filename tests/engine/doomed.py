"""Trainings that die, uncleanly, at a chosen moment, one after the other: run by test_kill.py.

Each is a fork of one process that has imported torch and done nothing else: eleven imports would take a minute.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimiser step imports it; here, once for all

from strawberry import checkpoint, eventlog
from strawberry.config import Config
from strawberry.events import Event
from strawberry.train import Trainer

torch.set_num_threads(1)


def die() -> None:
    """What a power cut or the system's out-of-memory killer does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment: str, step: int) -> None:
    """Die at ``moment`` of the checkpoint of ``step``."""
    durable, rename, sync, discard = checkpoint._durable, Path.rename, checkpoint.sync_folder, checkpoint._discard
    append = eventlog.EventLog.append

    def dying_durable(path: Path, content: bytes) -> None:
        here = path.parent.name == f"step-{step}.tmp"
        if here and moment == f"half {path.name}":
            path.write_bytes(content[: len(content) // 2])
            die()
        durable(path, content)
        if here and moment == f"after {path.name}":
            die()

    def dying_rename(path: Path, target: Path) -> Path:
        if path.name == f"step-{step}.tmp" and moment == "before rename":
            die()
        return rename(path, target)

    def dying_sync(folder: Path) -> None:
        sync(folder)
        if folder.name == "checkpoints" and (folder / f"step-{step}").exists() and moment == "after rename":
            die()

    def dying_discard(path: Path) -> None:
        if moment == "half rotation" and path.exists() and (path.parent / f"step-{step}").exists():
            (path / "model.safetensors").unlink()
            rename(path, path.with_name(path.name + ".old.tmp"))
            die()
        discard(path)

    def dying_append(log: eventlog.EventLog, event: Event) -> None:
        if event.event == "step" and getattr(event, "step", 0) == step and moment == "half event":
            os.write(log._handle, event.to_line().encode()[:20])
            die()
        append(log, event)

    checkpoint._durable, checkpoint.sync_folder, checkpoint._discard = dying_durable, dying_sync, dying_discard
    Path.rename = dying_rename  # type: ignore[method-assign]
    eventlog.EventLog.append = dying_append  # type: ignore[method-assign]


def train(config: dict[str, Any], options: dict[str, Any], moment: str, step: int) -> None:
    """Train; announce each step; die at the moment, if it comes."""
    arm(moment, step)
    for event in Trainer(Config.from_dict(config), **options):
        if event.event == "step":
            print(event.to_dict()["step"], flush=True)


def main(jobs: list[dict[str, Any]]) -> int:
    """Run each job in a process of its own; returns 1 as soon as one does not die by SIGKILL."""
    for job in jobs:
        child = os.fork()
        if child == 0:
            train(**job)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            print(f"survived {job['moment']} of step {job['step']}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    sys.exit(main(told) if isinstance(told, list) else train(**told))

"""What a run folder tells by itself, without the process that made it: how it ended, what it saved, what was probed."""

import json
import re
import time
from pathlib import Path
from typing import Any

from lab import notes
from strawberry.config import Config
from strawberry.errors import StrawberryError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Where locks cannot be asked about: a run that wrote an event this many seconds ago is taken to be at work still.
FRESH = 30.0


def runs(runs_folder: Path) -> list[Path]:
    """The folders of all runs in a runs folder, in no order; links are not followed."""
    try:
        return [path for path in runs_folder.iterdir() if not path.is_symlink() and is_run(path)]
    except OSError:
        return []


def studies(runs_folder: Path) -> list[Path]:
    """The folders of all studies in a runs folder, in no order; their own runs lie deeper."""
    return [path.parent for path in runs_folder.glob("*/study.json") if not path.parent.is_symlink()]


def is_study(folder: Path) -> bool:
    """Whether there is a study in a folder, begun or asked for."""
    return (folder / "study.json").is_file()


def is_run(folder: Path) -> bool:
    """Whether there is a run in a folder, begun or asked for."""
    return (folder / "job.json").is_file() or (folder / "config.json").is_file()


def ending(folder: Path) -> tuple[str, str, int, int]:
    """State, sentence, step and number of steps of a run that no worker of the dashboard keeps."""
    events = folder / "events.jsonl"
    last = tail(events)
    step = next((event["step"] for event in reversed(last) if "step" in event), 0)
    steps = next((event["steps"] for event in reversed(last) if "steps" in event), step)
    if last and last[-1].get("event") == "finished":
        reason = str(last[-1].get("reason") or "finished")
        done = reason in ("done", "finished")
        return ("finished", "", step, steps) if done else ("stopped", reason, step, steps)
    if not last:
        return "stopped", "Nothing has been recorded in this run yet.", 0, 0
    if _held(folder):
        return "training", "It was started outside of the dashboard, so it can only be watched from here.", step, steps
    return "stopped", f"Its record ends at step {step} without a word that it finished.", step, steps


def tail(path: Path, size: int = 65536) -> list[dict[str, Any]]:
    """The events in the last ``size`` bytes of an event file, oldest first."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - size))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(event)
    return found


def checkpoints(folder: Path) -> list[int]:
    """The steps at which a checkpoint was completed, in order."""
    return _numbered(folder / "checkpoints", r"step-(\d+)", "manifest.json")


def probes(folder: Path) -> list[int]:
    """The steps at which the model was probed, in order."""
    return _numbered(folder / "probes", r"step-(\d+)\.npz")


def verdict(folder: Path) -> tuple[bool, str] | None:
    """Whether the run's model is causal, and a sentence: measured if ``leaks.json`` is there, else as it declares."""
    measured = notes.read(folder / "leaks.json")
    if "causal" in measured:
        return bool(measured["causal"]), str(measured.get("sentence", ""))
    described = notes.read(folder / "config.json") or notes.read(folder / "job.json").get("config")
    if not described:
        return None
    try:
        causal = Config.from_dict(described).causal
    except StrawberryError:
        return None
    return causal, "By construction; it is measured when the training has begun."


def probe_path(folder: Path, step: int) -> Path:
    """The file of the probe taken at a step."""
    return folder / "probes" / f"step-{step}.npz"


def _held(folder: Path) -> bool:
    """Whether a trainer, anywhere on this machine, holds the run's lock."""
    try:
        with open(folder / "lock", "rb") as file:
            if fcntl is None:
                return time.time() - (folder / "events.jsonl").stat().st_mtime < FRESH
            # Let go at once by closing; a shared lock does not keep other readers out.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _numbered(folder: Path, pattern: str, holding: str = "") -> list[int]:
    try:
        names = [path for path in folder.iterdir() if not holding or (path / holding).exists()]
    except OSError:
        return []
    return sorted(int(match[1]) for path in names if (match := re.fullmatch(pattern, path.name)))

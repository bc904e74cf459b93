"""What stands in for a run's worker in tests: a status file that says what the worker would say."""

import time
from pathlib import Path
from typing import Any

from lab import notes


def say(folder: Path, state: str, sentence: str = "", **more: Any) -> None:
    """Let the run's worker say what it does; it obeys what it was told."""
    (folder / "control.json").unlink(missing_ok=True)
    told = {"state": state, "sentence": sentence, "step": 3, "steps": 9}
    notes.write(folder / "status.json", {**told, "updated": time.time(), "beat": time.monotonic(), **more})

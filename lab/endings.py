"""How a training came to a bad end, in words: what happened, and what to do about it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from lab import notes, process, recorded
from strawberry.errors import StrawberryError

FULL = (errno.ENOSPC, errno.EDQUOT)
SHUT = (errno.EROFS, errno.EACCES, errno.EPERM)
LITTLE = 3e8  # bytes; when no more was free at the last sign of life, memory is what was missing
# What torch says of memory it could not have, on a CPU and on a GPU.
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
SIGNALS = {9: "killed", 11: "a segmentation fault", 6: "aborted", 7: "a bus error", 4: "an illegal instruction"}


def told(error: BaseException, step: int) -> tuple[str, str]:
    """Cause and sentence for an error that ended a training after ``step``.

    The cause is "disk", "memory", "asked" (what was asked for cannot work) or "crashed".
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in FULL:
            return "disk", f"The disk was full at step {step:,}, so nothing more could be recorded or saved."
        if isinstance(one, OSError) and one.errno in SHUT:
            where = f" {Path(str(one.filename)).name!r}" if one.filename else ""
            why = (one.strerror or "refused").lower()
            return "disk", f"The run's folder could not be written{where} ({why}) at step {step:,}."
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY):
        return "memory", f"There was not enough memory at step {step:,}."
    if isinstance(error, StrawberryError):
        text = str(error)
        return "asked", f"{text[:1].upper()}{text[1:].rstrip('.')}."
    return "crashed", f"An unexpected error ended the training ({type(error).__name__}: {error})."


def died(folder: Path, step: int) -> tuple[str, str]:
    """Cause and sentence for a worker that said nothing at its end, from what its keeper and the system know."""
    ended = process.ended(folder)
    code = ended.get("code")
    said = notes.read(folder / "status.json").get("free")
    if code is None and not os.access(folder, os.W_OK):
        return "disk", f"The worker ended at step {step:,}, and its folder cannot be written any more."
    if code is None:
        return "killed", f"The worker ended without a word at step {step:,}: killed, or the machine was switched off."
    if code == -9 and ended.get("memory"):
        return "memory", f"The system ended the worker at step {step:,} because the machine had no memory left."
    if code == -9 and isinstance(said, int | float) and said < LITTLE:
        free = f"{said / 1e6:.0f} MB"
        return "memory", f"The worker was killed at step {step:,} while only {free} of memory were free: too little."
    if isinstance(code, int) and code < 0:
        how = SIGNALS.get(-code, "ended by the system")
        return "killed", f"The worker ended without a word at step {step:,}: {how} (signal {-code})."
    return "crashed", f"The worker ended without a word at step {step:,} (exit code {code})."


def advice(folder: Path, cause: str) -> str:
    """What a person can do about it."""
    saved = recorded.checkpoints(folder)
    hope = f"resume goes on from step {saved[-1]:,}" if saved else "it had saved nothing, so resume begins again"
    if cause == "disk":
        return f"Make room and see that the folder can be written; then {hope}."
    if cause == "memory":
        return (
            f"Close other programs or stop other runs; then {hope}. Or start a smaller one: less width, batch or "
            "sequence length."
        )
    if cause == "diverged":
        return (
            f"Its last checkpoint stays{f' (step {saved[-1]:,})' if saved else ''}. Resume would repeat the same steps "
            "bit for bit and end the same way, so start it anew with a lower learning rate."
        )
    if cause == "asked":
        return "Start a new run with that mended."
    logged = (folder / "worker.log").exists() and (folder / "worker.log").stat().st_size > 0
    return f"{hope[:1].upper()}{hope[1:]}{'; the log below may tell more' if logged else ''}."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those it came from, also where a sentence hides them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__

"""Asks something of a run in a process of its own, so that neither its memory nor its failures are the server's."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab import process
from strawberry.errors import RunError, StrawberryError

TOLD = 3  # exit code of a process that said in one sentence what was wrong


def ask(module: str, folder: Path, words: str, *, what: str, patience: float) -> None:
    """Run ``python -m module folder`` with ``words`` on its standard input, and wait for it.

    ``what`` is to come of it, such as "picture". Raises :class:`RunError` with one sentence when it does not come
    within ``patience`` seconds, or cannot.
    """
    command = [sys.executable, "-m", module, str(folder)]
    try:
        done = subprocess.run(
            command, input=words.encode(), capture_output=True, env=process.environment(), timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"no {what} came within {patience:.0f} s; the machine may be too busy, so try again") from None
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode == TOLD:
        raise RunError(said.splitlines()[-1])
    if done.returncode:
        logging.getLogger(__name__).error("a %s failed:\n%s", what, said)
        raise RunError(f"the {what} could not be taken; the terminal in which the dashboard runs has the details")


def answer(take: Callable[[Path, str], object]) -> None:
    """The other side of :func:`ask`: hand the folder and the words to ``take``, and tell what was wrong."""
    try:
        take(Path(sys.argv[1]), sys.stdin.buffer.read().decode("utf-8", "replace"))
    except StrawberryError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(TOLD)

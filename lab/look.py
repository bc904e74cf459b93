"""Takes a picture of a run's newest checkpoint, in a process of its own.

For runs that no worker keeps any more, or that were trained on the command line. `python -m lab.look RUN_FOLDER` reads
from its standard input the text that the model is to read.
"""

import logging
import subprocess
import sys
from pathlib import Path

from lab import process
from strawberry.errors import RunError, StrawberryError

PATIENCE = 300.0  # seconds that a picture may take
TOLD = 3  # exit code of a process that said in one sentence what was wrong


def look(folder: Path, text: str) -> None:
    """Probe the newest sound checkpoint of the run in ``folder`` with ``text`` (empty: the run's validation text).

    Blocks until the picture is there. Raises :class:`RunError` with one sentence when there is none to be had.
    """
    command = [sys.executable, "-m", "lab.look", str(folder)]
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, env=process.environment(), timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"no picture came within {PATIENCE:.0f} s; the machine may be too busy, so try again") from None
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode == TOLD:
        raise RunError(said.splitlines()[-1])
    if done.returncode:
        logging.getLogger(__name__).error("a picture failed:\n%s", said)
        raise RunError("the picture could not be taken; the terminal in which the dashboard runs has the details")


def take(folder: Path, text: str) -> Path:
    """Do in this process what :func:`look` asks of another one; returns the picture's path."""
    import lab
    from lab.recorded import probe_path
    from lab.worker import passage
    from strawberry.data import load
    from strawberry.runs import open_run

    run = open_run(folder)
    step, _ = run.newest()
    model = run.model(step)
    tokenizer = run.tokenizer
    if not text.strip():
        text = passage(load(run.data, run.config, tokenizer))
    most = min(256, run.config.seq_len)
    path = probe_path(folder, step or 0)
    return lab.probe(model, tokenizer, text, step=step, run=folder.name, max_tokens=most).save(path)


if __name__ == "__main__":
    try:
        take(Path(sys.argv[1]), sys.stdin.buffer.read().decode("utf-8", "replace"))
    except StrawberryError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(TOLD)

"""Takes a picture of a run's newest checkpoint, in a process of its own.

For runs that no worker keeps any more, or that were trained on the command line. `python -m lab.look RUN_FOLDER` reads
from its standard input the text that the model is to read.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import apart
from strawberry.errors import StrawberryError

if TYPE_CHECKING:
    from lab.probe import Probe

PATIENCE = 300.0  # seconds that a picture may take
PASSAGE, LONGEST = 256, 1024  # tokens that a picture shows: of a passage that nobody chose, and of a person's own text


def look(folder: Path, text: str) -> None:
    """Probe the newest sound checkpoint of the run in ``folder`` with ``text`` (empty: the run's validation text).

    Blocks until the picture is there. Raises :class:`strawberry.errors.RunError` with one sentence when there is none
    to be had.
    """
    apart.ask("lab.look", folder, text, what="picture", patience=PATIENCE)


def take(folder: Path, text: str) -> Path:
    """Do in this process what :func:`look` asks of another one; returns the picture's path."""
    from lab.recorded import probe_path
    from strawberry.data import is_made, load
    from strawberry.runs import open_run

    run = open_run(folder)
    step, _ = run.newest()
    model = run.model(step)
    tokenizer = run.tokenizer
    blank = not text.strip()
    dataset = load(run.data, run.config, tokenizer) if blank or is_made(run.data) else None
    if dataset is not None and blank:
        text = dataset.passage()
    answers = None if dataset is None else dataset.answers
    taken = picture(model, tokenizer, text, own=not blank, step=step, run=folder.name, answers=answers)
    return taken.save(probe_path(folder, step or 0))


def picture(model: Any, tokenizer: Any, text: str, *, own: bool, **more: Any) -> "Probe":
    """A probe of the beginning of ``text``: up to 256 tokens of a passage that nobody chose, of a person's own 1,024.

    What a person asked for the picture knows. It may be longer than what the model was trained on, but not than the
    positions that it has learned. ``more`` goes to :func:`lab.probe`.
    """
    import lab

    length = model.config.seq_len
    if not own:
        return lab.probe(model, tokenizer, text, max_tokens=min(PASSAGE, length), **more)
    try:
        taken = lab.probe(model, tokenizer, text, max_tokens=LONGEST, **more)
    except StrawberryError:
        taken = lab.probe(model, tokenizer, text, max_tokens=min(LONGEST, length), **more)
    return dataclasses.replace(taken, meta={**taken.meta, "asked": text.strip()})


if __name__ == "__main__":
    apart.answer(take)

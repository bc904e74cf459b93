"""Takes a picture of a run's newest checkpoint, in a process of its own.

For runs that no worker keeps any more, or that were trained on the command line. `python -m lab.look RUN_FOLDER` reads
from its standard input the text that the model is to read.
"""

from pathlib import Path

from lab import apart

PATIENCE = 300.0  # seconds that a picture may take


def look(folder: Path, text: str) -> None:
    """Probe the newest sound checkpoint of the run in ``folder`` with ``text`` (empty: the run's validation text).

    Blocks until the picture is there. Raises :class:`strawberry.errors.RunError` with one sentence when there is none
    to be had.
    """
    apart.ask("lab.look", folder, text, what="picture", patience=PATIENCE)


def take(folder: Path, text: str) -> Path:
    """Do in this process what :func:`look` asks of another one; returns the picture's path."""
    import lab
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
    most = min(256, run.config.seq_len)
    path = probe_path(folder, step or 0)
    answers = None if dataset is None else dataset.answers
    taken = lab.probe(model, tokenizer, text, step=step, run=folder.name, max_tokens=most, answers=answers)
    return taken.save(path)


if __name__ == "__main__":
    apart.answer(take)

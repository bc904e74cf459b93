"""``strawberry ablate``: check a study, run it to its end, and say what it found."""

import argparse
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from lab import notes
from lab.ablate import engines, halving, report
from lab.ablate.gathering import gather
from lab.ablate.progress import Clock
from lab.ablate.queue import Board
from lab.ablate.study import Study, StudyError
from lab.ablate.table import show
from lab.causality import shrunk, verdict
from strawberry.cli.interruption import Interruption
from strawberry.data import load
from strawberry.runs import CHECKPOINTS, named_run

STUDY = "study.json"
LOOK = 1.0  # seconds between looks at the folders, at least
SHARE = 0.02  # of one core's time, that looking may take
QUIET = 30.0  # seconds between lines where there is no terminal
UNFINISHED = 1


def ablate(values: argparse.Namespace) -> int:
    """Run a study as the command line says; returns the exit code."""
    study = Study.read(values.study)
    runs = Path(values.runs or os.environ.get("STRAWBERRY_RUNS") or "runs")
    options = _options(values.engine_option or [])
    console = Console(highlight=False, soft_wrap=True)
    board = prepare(study, runs, values.engine)
    jobs = values.jobs or engines.default_jobs(study.threads)
    code = run(board, values.engine, jobs, options, console)
    results = gather(board, command(values.study))
    path = results.write(board.folder)
    page, text = report.write(results, board.folder)
    if code:
        return code
    tidy(board)
    if values.json:
        sys.stdout.write(path.read_text(encoding="utf-8"))
    else:
        show(results, console)
        console.print(f"\nreport: {page}, {text.name} beside it; every number is in {path.name}")
    return 0 if results.complete else UNFINISHED


def prepare(study: Study, runs: Path, engine: str = "local") -> Board:
    """Check all that can go wrong before the first step, then make the study's folder, or open it again.

    Raises :class:`~strawberry.errors.StrawberryError` before anything is written. A study that was changed since, say
    by more seeds, keeps the cells that are the same.
    """
    folder = named_run(runs, study.name)
    if folder.exists() and not (folder / STUDY).is_file() and any(folder.iterdir()):
        raise StudyError(f"{str(folder)!r} is no study's folder; give the study another name, or --runs another folder")
    board = Board(folder, study)
    engines.check(engine)
    if study.halving:
        halving.check()
    _causal(board)
    _load(board)
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    notes.write(folder / STUDY, study.to_dict())
    board.forgive()
    return board


def run(board: Board, engine: str, jobs: int, options: dict[str, str], console: Console) -> int:
    """Have workers do what is left, and tell how far they are; 0, or the code of what ended it early."""
    clock = Clock(board, jobs)
    if not board.tasks():
        return 0
    jobs = min(jobs, clock.look().cells)
    workers = engines.start(engine, board.folder, jobs, board.study.threads, options)
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
    bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
    told = -QUIET
    try:
        with bar, Interruption() as interruption:
            line = bar.add_task("", total=1.0)
            while workers.alive() and interruption.asked is None:
                began = time.monotonic()
                now = clock.look()
                bar.update(line, completed=now.share, description=now.sentence())
                if not console.is_terminal and time.monotonic() - told >= QUIET:
                    told = time.monotonic()
                    console.print(now.sentence())
                # The cores are for training.
                time.sleep(max(LOOK, (time.monotonic() - began) / SHARE))
    finally:
        trouble = workers.trouble()
        workers.stop()
    if interruption.asked is not None:
        _say("interrupted and saved; the same command goes on")
        return interruption.asked
    for sentence in trouble:
        _say(sentence)
    if board.tasks():
        _say("the workers ended before the study did; the same command goes on")
        return UNFINISHED
    return 0


def tidy(board: Board) -> None:
    """Delete the checkpoints of the trainings that chose a learning rate; their events, which say why, stay."""
    for pair in board.study.pairs:
        for trial in board.trials(*pair):
            shutil.rmtree(board.path(trial) / CHECKPOINTS, ignore_errors=True)


def command(study: str) -> str:
    """What makes these results again; a path is given as seen from here."""
    path = Path(study)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"strawberry ablate {shlex.quote(str(path))}"


def _causal(board: Board) -> None:
    """Measure whether each variant that says it is causal is so; one that is not would be ranked."""
    seen = set()
    for (variant, data), budget in board.budgets.items():
        small = shrunk(budget.config)
        if not budget.config.causal or small in seen:
            continue
        seen.add(small)
        if not (found := verdict(small)).causal:
            raise StudyError(
                f"variant {variant!r} reads the future on {data}, and nothing that it is made of says so: "
                f"{found.sentence}; mend it first"
            )


def _load(board: Board) -> None:
    """Load all data once, so that mistakes come now, and the workers find tokens in the cache."""
    seen = set()
    for (_, data), budget in board.budgets.items():
        config = budget.config
        key = (data, config.tokenizer, config.vocab_size, config.train_fraction, config.seq_len)
        if key in seen:
            continue
        seen.add(key)
        loaded = load(data, config)
        if data in board.study.control and loaded.metric != "accuracy":
            raise StudyError(f"control {data!r} asks for an accuracy, and {data} is judged by {loaded.metric}")


def _options(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    wrong = [name for name, equals, _ in pairs if not (name and equals)]
    if wrong:
        raise StudyError(f"--engine-option is written NAME=VALUE; got {wrong[0]!r}")
    return {name: text for name, _, text in pairs}


def _say(text: str) -> None:
    sys.stderr.write(f"strawberry ablate: {text}\n")

"""``strawberry train``: what was asked for, and a training that can be interrupted at any step."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from strawberry import author
from strawberry.cli.interruption import Interruption
from strawberry.cli.options import UsageError, chosen
from strawberry.cli.show import Json, Terminal
from strawberry.config import Config
from strawberry.events import Warned
from strawberry.learner import DivergedError
from strawberry.plan import Plan
from strawberry.presets import preset
from strawberry.runs import CONFIG, open_run
from strawberry.train import Trainer

DIVERGED = 3
# A new run with nothing said evaluates, samples and saves this many times.
OFTEN = 5


def train(values: argparse.Namespace) -> int:
    """Train as the command line says; returns the exit code."""
    asked = _asked(values)
    run = None if asked.options["run"] is None else str(asked.options["run"])
    show = Json() if values.json else Terminal(run, values.log_every or asked.log_every)
    if not values.json and run is None and asked.export is None:
        show.note("nothing is kept of this training; give --run FOLDER to keep it")  # type: ignore[union-attr]
    with Trainer(asked.config, **asked.options) as trainer:
        for note in asked.notes:
            show(Warned(note, trainer.step))
        code = _run(trainer, show)
        if code == 0 and asked.export is not None:
            author.export(trainer.model, asked.export)
    return code


def _run(trainer: Trainer, show: "Json | Terminal") -> int:
    try:
        with show, Interruption() as interruption:
            for event in trainer:
                show(event)
                if interruption.asked is not None and trainer.step < trainer.plan.steps:
                    break
            else:
                return 0
            code = interruption.asked
            show(trainer.stop("interrupted"))
    except DivergedError as error:
        _notice(str(error))
        return DIVERGED
    except BrokenPipeError:
        # Whoever read the events has gone.
        trainer.stop("nobody listens any more")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    if trainer.path is None:
        _notice(f"interrupted at step {trainer.step}; nothing is kept, since no --run was given")
    else:
        _notice(
            f"interrupted at step {trainer.step} and saved; go on with: strawberry train --run {trainer.path} --resume"
        )
    return code


def _notice(text: str) -> None:
    # The terminal's line holds half a bar, or ^C.
    before = "\n" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{before}strawberry train: {text}\n")
    sys.stderr.flush()


def _asked(values: argparse.Namespace) -> author.Asked:
    """The command line's wishes over those of the file over those of the preset or the run."""
    if values.config is not None:
        asked = author.read(Path(values.config), None if values.preset is None else preset(values.preset))
    else:
        asked = author.Asked(None if values.preset is None else preset(values.preset))
    names = (
        "data", "run", "steps", "eval_every", "eval_batches", "sample_every", "sample_prompt", "sample_tokens",
        "checkpoint_every", "keep", "init_from",
    )  # fmt: skip
    given = {name: getattr(values, name) for name in names if getattr(values, name) is not None}
    asked.options = {"run": None, **asked.options, **given}
    if values.resume:
        asked.options["resume"] = True
    asked.config = _config(asked, chosen(values))
    if not asked.options.get("resume"):
        _often(asked.options)
    return asked


def _config(asked: author.Asked, fields: dict[str, Any]) -> Config | None:
    options, config = asked.options, asked.config
    source = options["run"] if options.get("resume") else options.get("init_from")
    if config is None and source is not None and (Path(source) / CONFIG).is_file():
        config = open_run(source).config
    if config is None and options.get("resume"):
        return None  # the trainer says that there is nothing to resume
    if config is None:
        raise UsageError("a preset, --config FILE or --init-from RUN must say what to train; see strawberry presets")
    if asked.random_seed and options.get("resume") and "seed" not in fields:
        fields = {**fields, "seed": open_run(options["run"]).config.seed}
    return config.replace(**fields)


def _often(options: dict[str, Any]) -> None:
    every = max(1, -(-(options.get("steps") or Plan.steps) // OFTEN))
    options.setdefault("eval_every", every)
    options.setdefault("sample_every", options["eval_every"])
    options.setdefault("checkpoint_every", every)

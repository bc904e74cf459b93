"""The command line: ``strawberry train | generate | presets | data | leaks | ablate | lab``.

Exit codes: 0 done, 1 a model that leaks or a study that is not done, 2 something asked for that cannot work, 3 a
training whose loss is no longer finite, 70 a fault of this program, 130 interrupted.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable

from strawberry.cli.options import Parser, UsageError, add_fields, count, count_or_none
from strawberry.errors import StrawberryError

WRONG, BUG, INTERRUPTED, CLOSED = 2, 70, 130, 141
_Command = Callable[[argparse.Namespace], int]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Mistakes are one sentence on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        values = parser().read(arguments)
        if values.command is None:
            raise UsageError(
                "a command is missing: train, generate, presets, data, leaks, ablate or lab; see strawberry --help"
            )
        return values.run_command(values)
    except StrawberryError as error:
        return _say(str(error), WRONG)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except OSError as error:
        return _say(f"{error.filename or 'the system'}: {error.strerror or error}", WRONG)
    except Exception as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error):
            return _say("there is not enough memory; lower batch_size, seq_len or d_model", WRONG)
        traceback.print_exc()
        return BUG


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="strawberry", description="Train, sample and look into language models that rewrite their weights."
    )
    top.set_defaults(command=None)
    commands = top.add_subparsers(dest="command", metavar="command", parser_class=Parser)
    _train(commands.add_parser("train", usage="strawberry train [PRESET] [options]", help="train a model on text"))
    _generate(commands.add_parser("generate", help="write text with a trained model"))
    _presets(commands.add_parser("presets", help="list the presets and their sizes"))
    _data(commands.add_parser("data", help="list what there is to train on, and its arguments"))
    _leaks(
        commands.add_parser(
            "leaks", usage="strawberry leaks PRESET|RUN [options]", help="say whether a model reads the future"
        )
    )
    _ablate(commands.add_parser("ablate", help="compare variants at equal budgets, over seeds"))
    _lab(commands.add_parser("lab", help="open the dashboard in a browser"))
    return top


def _train(command: Parser) -> None:
    add = command.add_argument
    add("preset", nargs="?", metavar="PRESET", help="such as strawberry-nano; see strawberry presets")
    add("--config", metavar="FILE", help="a JSON configuration, as the architecture's author writes it, or a run's own")
    add(
        "--data", metavar="NAME|PATH",
        help="sotu (default), python, a UTF-8 text file or folder, or a task or source such as mqar:pairs=4; see "
        "strawberry data",
    )  # fmt: skip
    add("--run", metavar="FOLDER", help="the run folder to write; without it nothing is kept")
    add("--steps", type=count, metavar="N", help="optimiser steps in all (default 200)")
    add("--resume", action="store_true", help="go on from the newest sound checkpoint of --run")
    add("--init-from", metavar="RUN", help="begin with the weights and the tokenizer of another run")
    add("--eval-every", type=count, metavar="N", help="steps between evaluations (default: a fifth of the steps)")
    add("--eval-batches", type=count, metavar="N", help="batches of validation text per evaluation (default 8)")
    add("--sample-every", type=count, metavar="N", help="steps between samples (default: as --eval-every)")
    add("--sample-prompt", metavar="TEXT", help="what a sample begins with (default: nothing)")
    add("--sample-tokens", type=count, metavar="N", help="tokens per sample (default 60)")
    add("--checkpoint-every", type=count, metavar="N", help="steps between checkpoints (default: a fifth of the steps)")
    add("--keep", type=count, metavar="N", help="checkpoints kept, newest first (default 3)")
    add("--log-every", type=count, metavar="N", help="steps between lines where there is no terminal")
    add("--json", action="store_true", help="one event per line, as JSON")
    add_fields(command)
    _set(command, "training", "train")


def _generate(command: Parser) -> None:
    add = command.add_argument
    add("run", metavar="RUN", help="a run folder")
    add("prompt", nargs="?", default="", metavar="PROMPT", help="what to go on from (default: begin a document)")
    add("--step", type=count_or_none, metavar="N", help="the checkpoint to use (default: the newest sound one)")
    add("--max-tokens", type=count, default=200, metavar="N", help="tokens at most (default 200)")
    add("--temperature", type=float, default=0.8, metavar="X", help="0 always takes the likeliest (default 0.8)")
    add(
        "--top-k", type=count_or_none, default=50, metavar="N", help="choose among the N likeliest; 0: all (default 50)"
    )
    add("--top-p", type=float, metavar="X", help="choose among the likeliest that together reach X")
    add("--exit", metavar="RULE", help="each token stops by confidence, gap, saturation, distribution or fixed")
    add("--threshold", type=float, default=0.8, metavar="X", help="when the exit rule is content (default 0.8)")
    add("--max-loops", type=count, metavar="N", help="most passes with an exit rule (default: the model's loops)")
    add("--seed", type=count_or_none, default=0, metavar="N", help="the same seed writes the same text (default 0)")
    add("--json", action="store_true", help="one token per line, as JSON")
    _set(command, "commands", "generate")


def _presets(command: Parser) -> None:
    command.add_argument("--json", action="store_true", help="as JSON")
    _set(command, "commands", "presets")


def _data(command: Parser) -> None:
    command.add_argument("--json", action="store_true", help="as JSON")
    _set(command, "listing", "data")


def _leaks(command: Parser) -> None:
    command.add_argument("subject", metavar="PRESET|RUN", help="a preset, a family, or a run folder")
    command.add_argument("--json", action="store_true", help="as JSON")
    add_fields(command)
    _set(command, "commands", "leaks")


def _ablate(command: Parser) -> None:
    add = command.add_argument
    add("study", metavar="STUDY", help="a TOML file, a Python file that sets study, or a study's folder")
    add("--runs", metavar="FOLDER", help="where the study's folder is made (default: runs, or STRAWBERRY_RUNS)")
    add("--jobs", type=count, metavar="N", help="trainings at a time (default: one per GPU, or per core)")
    add("--engine", default="local", metavar="NAME", help="local (default), submitit for Slurm, or ray")
    add("--engine-option", action="append", metavar="NAME=VALUE", help="of the engine, such as slurm_partition=gpu")
    add("--json", action="store_true", help="print the results as JSON")
    _set(command, "commands", "ablate")


def _lab(command: Parser) -> None:
    command.add_argument("--runs", metavar="FOLDER", help="the folder of runs (default: runs, or STRAWBERRY_RUNS)")
    command.add_argument("--port", type=count, metavar="N", help="the port on 127.0.0.1 (default 8501)")
    _set(command, "commands", "lab")


def _set(command: Parser, module: str, function: str) -> None:
    """Import what runs the command only when it runs: torch takes seconds, and ``--help`` should not wait for it."""

    def run(values: argparse.Namespace) -> int:
        from importlib import import_module

        return getattr(import_module(f"strawberry.cli.{module}"), function)(values)

    command.set_defaults(run_command=run, parser=command)


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"strawberry: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())

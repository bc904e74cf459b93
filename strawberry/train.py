"""Training: an iterator of events over a model, its data and, if wanted, its run folder."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from strawberry import checkpoint
from strawberry import resume as resuming
from strawberry.config import Config
from strawberry.data import Text, Tokenizer
from strawberry.errors import CheckpointError, RunError
from strawberry.evaluate import evaluate
from strawberry.events import Evaluated, Event, Finished, Sampled, Saved, Started, Step, Warned
from strawberry.generate import generate
from strawberry.learner import DivergedError
from strawberry.opening import open_training
from strawberry.runs import CHECKPOINTS, Run


class Trainer:
    """One training, ready to be iterated: each event happens when it is asked for, and between two the model rests.

    ``model`` is the live eager model, ``step`` the number of steps done. Leave it with :meth:`stop`, which saves, or
    with :meth:`close` (or ``with``), which does not.

    config: the configuration; None takes that of the run resumed, or of ``init_from``.
    data: a corpus ("sotu", "python"), the path of a text file or folder, a ``Text``, or a task or source with its
        arguments ("mqar:pairs=4"); None is "sotu", or the resumed run's own.
    run: the run folder to write; None keeps nothing.
    steps: optimiser steps in all, 200 by default. It and the counts below keep a resumed run's values when None.
    resume: go on from the newest sound checkpoint of ``run``; on a CPU the result is the same, bit for bit, as if
        it had never stopped.
    eval_every, sample_every, checkpoint_every: steps between evaluations on ``eval_batches`` batches, samples of
        ``sample_tokens`` tokens after ``sample_prompt`` (or of answers to the first question of a task), and
        checkpoints, of which the newest ``keep`` stay. Evaluation and checkpoint also come after the last step.
    init_from: a run (or its path) whose weights and tokenizer to begin with, the optimiser being new.
    decay_steps: the step at which the learning rate has reached ``min_lr``, by default the last.
    tokenizer: the tokenizer of a new run, instead of one learned from its data.

    Raises :class:`~strawberry.errors.StrawberryError` for whatever cannot work, before anything is written.
    """

    def __init__(
        self,
        config: Config | None = None,
        data: str | Path | Text | None = None,
        run: str | Path | None = None,
        steps: int | None = None,
        *,
        resume: bool = False,
        eval_every: int | None = None,
        eval_batches: int | None = None,
        sample_every: int | None = None,
        sample_prompt: str | None = None,
        sample_tokens: int | None = None,
        checkpoint_every: int | None = None,
        keep: int | None = None,
        init_from: "str | Path | Run | None" = None,
        decay_steps: int | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        given = {
            "steps": steps, "eval_every": eval_every, "eval_batches": eval_batches, "sample_every": sample_every,
            "sample_prompt": sample_prompt, "sample_tokens": sample_tokens, "checkpoint_every": checkpoint_every,
            "keep": keep, "decay_steps": decay_steps,
        }  # fmt: skip
        self.path = None if run is None else Path(run)
        opened = open_training(config, data, self.path, resume, init_from, given, tokenizer)
        self.config, self.plan, self.dataset = opened.config, opened.plan, opened.dataset
        self.learner, self.progress = opened.learner, opened.progress
        self.model, self.tokenizer = self.learner.model, self.dataset.tokenizer
        self._folder, self._told = opened.folder, opened.told
        self._rung = False
        notes = list(opened.notes)
        if not self.model.causal:
            notes.append("this model reads the future: its loss does not say how well it predicts")
        self._pending: list[Event] = [self._started(), *(Warned(note, self.step) for note in notes)]

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.progress.step

    def __iter__(self) -> Iterator[Event]:
        """The events from here to the end; a new iterator goes on where the last one was left.

        Raises :class:`DivergedError` after its events when the loss or the gradient is not finite.
        """
        yield from self._due()
        while self.step < self.plan.steps:
            try:
                event = self._advance()
            except DivergedError as error:
                yield self._tell(Finished(self.step, str(error)))
                self.close()
                raise
            yield self._tell(event)
            yield from self._due()
        yield self._tell(Finished(self.step, "done"))
        self.close()

    def save(self) -> Saved:
        """Write a checkpoint of this step, unless there is one, and delete those beyond ``keep``.

        Raises :class:`RunError` without a run folder, :class:`CheckpointError` when the disk refuses; the earlier
        checkpoints then stay as they were.
        """
        event = Saved(self.step, f"{CHECKPOINTS}/step-{self.step}")
        if self.path is None:
            raise RunError("this training has no run folder to save into; name one with run")
        if "saved" in self._told:
            return event
        if self._folder is None or self._folder.log is None:
            raise RunError("this training is closed; resume the run instead")
        if not self.learner.whole:
            raise RunError("the last step was cut off halfway and cannot be saved; resume the run instead")
        # A checkpoint promises that the events up to its step are there.
        self._folder.log.sync()
        resuming.save(self.path, self.learner, self.progress)
        self._tell(event)
        notes = checkpoint.rotate(self.path / CHECKPOINTS, self.plan.keep)
        self._pending += [Warned(note, self.step) for note in notes]
        return event

    def stop(self, reason: str = "stopped") -> Finished:
        """Save, if there is a run folder; tell the log why; close."""
        if self.path is not None:
            self.save()
        event = self._tell(Finished(self.step, reason))
        self.close()
        return event

    def close(self) -> None:
        """Let go of the run folder; closing twice is fine."""
        if self._folder is not None:
            self._folder.close()
        self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> Started:
        rows = self.config.batch_size * self.config.grad_accum
        return Started(
            step=self.step,
            steps=self.plan.steps,
            config=self.config.to_dict(),
            parameters=sum(param.numel() for param in self.model.parameters()),
            data=self.dataset.name,
            tokens_train=self.dataset.tokens_train,
            bytes_per_token=self.dataset.bytes_per_token,
            tokens_per_step=rows * (self.dataset.length or self.config.seq_len),
            device=self.learner.device.type,
            precision=self.learner.precision,
            causal=self.model.causal,
            metric=self.dataset.metric,
        )

    def _advance(self) -> Step:
        begun = time.perf_counter()
        micros = range(self.config.grad_accum)
        batches = [self.dataset.batch("train", self.step, self.config, micro) for micro in micros]
        learned = self.learner.learn(batches, self.step, self.plan.decay_steps or self.plan.steps)
        took, progress = time.perf_counter() - begun, self.progress
        progress.step += 1
        progress.tokens += learned.tokens
        progress.seconds += took
        progress.loss_sum += learned.loss
        progress.loss_steps += 1
        self._told.clear()
        self.learner.whole = True
        return Step(
            progress.step, learned.loss, learned.total_loss, learned.lr, learned.grad_norm, progress.tokens,
            learned.tokens / took, progress.seconds, learned.loads,
            learned.passes if self.config.depth == "random" or self.config.think_above else None,
        )  # fmt: skip

    def _due(self) -> Iterator[Event]:
        """What this step still has to tell, save its own event; a resumed or re-entered training starts here too."""
        plan, step = self.plan, self.step
        last = step == plan.steps
        yield from self._flush()
        if "evaluated" not in self._told and (last or plan.due(plan.eval_every, step)):
            yield self._evaluated()
        if "sampled" not in self._told and plan.due(plan.sample_every, step):
            yield self._sampled()
        if self.path is not None and "saved" not in self._told and (last or plan.due(plan.checkpoint_every, step)):
            try:
                yield self.save()
            except CheckpointError as error:
                if last:
                    raise
                yield self._tell(Warned(f"{error}; training goes on with the checkpoint before", step))
        yield from self._flush()

    def _flush(self) -> Iterator[Event]:
        while self._pending:
            yield self._tell(self._pending.pop(0))

    def _evaluated(self) -> Evaluated:
        score = evaluate(self.model, self.dataset, self.config, batches=self.plan.eval_batches)
        progress = self.progress
        mean = progress.loss_sum / progress.loss_steps if progress.loss_steps else None
        progress.loss_sum, progress.loss_steps = 0.0, 0
        event = Evaluated(
            self.step, score.loss, score.bits_per_byte, mean, score.accuracy, score.floor, score.error
        )  # fmt: skip
        self._tell(event)
        if score.impossible and not self._rung:
            self._rung = True
            self._pending.append(Warned(score.alarm, self.step, alarm=True))
        return event

    def _sampled(self) -> Sampled:
        plan, seed = self.plan, self.config.seed + self.step
        prompt, most = (plan.sample_prompt, None) if plan.sample_prompt else self.dataset.question()
        written = generate(
            self.model, self.tokenizer, prompt, max_tokens=most or plan.sample_tokens, temperature=0.8, top_k=50,
            seed=seed,
        )  # fmt: skip
        event = Sampled(self.step, prompt, "".join(map(str, written)))
        self._tell(event)
        return event

    def _tell(self, event: Any) -> Any:
        if self._folder is not None and self._folder.log is not None:
            self._folder.log.append(event)
        self._told.add(event.event)
        return event


def train(
    config: Config | None = None,
    data: str | Path | Text | None = None,
    run: str | Path | None = None,
    steps: int | None = None,
    **options: Any,
) -> Iterator[Event]:
    """Train and yield what happens; stop iterating and training stops. Arguments as for :class:`Trainer`."""
    with Trainer(config, data, run, steps, **options) as trainer:
        yield from trainer

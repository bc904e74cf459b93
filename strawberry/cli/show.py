"""A training's events for a person at a terminal, for a log file, or for a machine."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from strawberry.events import Evaluated, Event, Finished, Sampled, Saved, Started, Step, Warned

SMOOTHING = 0.9


class Json:
    """One event per line of standard output."""

    def __call__(self, event: Event) -> None:
        sys.stdout.write(event.to_line())
        sys.stdout.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class Terminal:
    """A progress bar with loss, tokens/s and the time left, and a line for each evaluation, sample and warning.

    Where standard output is no terminal there is no bar, but a line every ``log_every`` steps.
    """

    def __init__(self, run: str | None, log_every: int | None = None) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self._run, self._log_every = run, log_every
        now = TextColumn("{task.fields[now]}")
        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), now, TimeRemainingColumn())
        self._bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self._task: TaskID | None = None
        self._loss = self._speed = 0.0
        self._started: Started | None = None
        self._step: Step | None = None
        self._evaluated: Evaluated | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._begin(event)
            case Step():
                self._advance(event)
            case Evaluated():
                self._evaluated = event
                self.say(f"step {event.step:>6}  {_score(event)}")
            case Sampled():
                text = escape(clean(event.prompt + event.text, one_line=True))
                self.say(f"step {event.step:>6}  sample: [dim]{text}[/dim]")
            case Saved():
                if not self.console.is_terminal:
                    self.say(f"step {event.step:>6}  saved {escape(event.path)}")
            case Warned():
                self.note(event.message)
            case Finished():
                self._finish(event)

    def say(self, text: str) -> None:
        """A line of standard output, above the bar; ``text`` may hold rich's markup."""
        self.console.print(text)

    def note(self, text: str) -> None:
        """A line of standard error."""
        self._errors.print(f"note: {escape(text)}")

    def _begin(self, event: Started) -> None:
        self._started = event
        of = f"step {event.step} of {event.steps}" if event.step else f"{event.steps} steps"
        family = event.config.get("family", "model")
        self.say(
            f"{escape(str(family))}: {event.parameters:,} parameters on {escape(event.data)} "
            f"({_tokens(event)}), {event.device}, {event.precision}; {of}"
        )
        self._log_every = self._log_every or max(1, event.steps // 20)
        self._task = self._bar.add_task("training", total=event.steps, completed=event.step, now="")

    def _advance(self, event: Step) -> None:
        first = self._step is None
        self._loss = event.loss if first else SMOOTHING * self._loss + (1 - SMOOTHING) * event.loss
        self._speed = event.tokens_per_s if first else SMOOTHING * self._speed + (1 - SMOOTHING) * event.tokens_per_s
        self._step = event
        now = f"loss {self._loss:.3f}  {self._speed:,.0f} tokens/s"
        if self._task is not None:
            self._bar.update(self._task, completed=event.step, now=now)
        if not self.console.is_terminal and event.step % (self._log_every or 1) == 0:
            self.say(f"step {event.step:>6}  {now}  lr {event.lr:.2e}  left {self._left(event)}")

    def _left(self, event: Step) -> str:
        steps = (self._started.steps if self._started else event.step) - event.step
        per_step = self._started.tokens_per_step if self._started else 0
        return _duration(steps * per_step / self._speed)

    def _finish(self, event: Finished) -> None:
        self._bar.stop()
        if event.reason != "done":
            return
        parts = [f"done: {event.step} steps"]
        if self._step is not None:
            parts.append(
                f"{self._step.tokens:,} tokens in {_duration(self._step.seconds)} ({self._speed:,.0f} tokens/s)"
            )
        if self._evaluated is not None:
            parts.append(_score(self._evaluated))
        self.say("; ".join(parts))
        if self._run is not None:
            self.say(f"the run is in {escape(self._run)}; write with: strawberry generate {escape(self._run)}")


def clean(text: str, one_line: bool = False) -> str:
    """``text`` without characters that steer a terminal: a model writes whatever bytes it likes."""
    if one_line:
        text = " ".join(text.split())
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _score(event: Evaluated) -> str:
    train = "" if event.train_loss is None else f" (train {event.train_loss:.3f})"
    parts = [f"validation {event.loss:.3f} nats/token{train}"]
    if event.bits_per_byte is not None:
        parts.append(f"{event.bits_per_byte:.3f} bits/byte")
    if event.accuracy is not None:
        parts.append(f"{event.accuracy:.1%} right")
    if event.floor is not None:
        parts.append(f"floor {event.floor:.3f}")
    return ", ".join(parts)


def _tokens(event: Started) -> str:
    return "made anew, step by step" if event.tokens_train is None else f"{event.tokens_train:,} tokens"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"

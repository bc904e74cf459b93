"""A training run in a notebook: play, pause and step, while its loss, its samples and its weights move on the page."""

import asyncio
import html
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ipywidgets import HTML, Button, Dropdown, HBox, Layout, ToggleButtons, VBox

from lab.figures import filmstrip, loss_curve
from lab.figures.theme import colours
from lab.pace import Pace
from lab.probe import Probe, probe
from lab.widgets.live import LiveFigure
from lab.widgets.still import answered, curve, still
from strawberry.errors import StrawberryError
from strawberry.events import Evaluated, Event, Finished, Sampled, Started, Step, Warned

# Seconds of training between two looks at the buttons.
BURST = 0.2


class Training(Protocol):
    """What the widget needs of a trainer: events when iterated, and the model while it learns."""

    model: Any
    tokenizer: Any

    def __iter__(self) -> Iterator[Event]: ...


class TrainingWidget(VBox):
    """Shows a :class:`strawberry.Trainer` and its buttons; nothing is trained before :meth:`run` or Play.

    trainer: is iterated from where it stands. text: what the model reads while its weights are watched; empty watches
    nothing. theme: "light" or "dark".

    Training happens in the kernel's own thread. :meth:`run` keeps the cell busy until it is done; Play trains in
    bursts between which the kernel hears buttons and other cells, so the model can be looked at while it learns.
    """

    def __init__(self, trainer: Training, *, text: str = "", theme: str = "light") -> None:
        super().__init__(layout=Layout(width="100%"))
        self.trainer = trainer
        self.events: list[Event] = []
        self.ended = False
        self.failure = ""
        self.last_probe: Probe | None = None
        self._text, self._theme = text, theme
        self._stream = iter(trainer)
        self._task: asyncio.Task[None] | None = None
        # Looking takes a small share of the time; drawing a curve costs less than a probe, so it is due sooner.
        self._draw_pace = Pace(share=0.05, shortest=0.3, longest=2.0)
        self._probe_pace = Pace(share=0.05)
        self._steps = 0

        self._play = Button(description="Play", icon="play", tooltip="Train until the end, or until Pause")
        self._pause = Button(description="Pause", icon="pause", tooltip="Stop after this step")
        self._step = Button(description="Step", icon="step-forward", tooltip="Take one step")
        self._play.on_click(lambda _: self.play())
        self._pause.on_click(lambda _: self.pause())
        self._step.on_click(lambda _: self.step())
        self._status = HTML()
        self._sample = HTML()
        self._curve = LiveFigure(loss_curve([], [], theme=theme))
        self._film = VBox()
        buttons = HBox([self._play, self._pause, self._step])
        self.children = [buttons, self._status, self._curve, self._sample, self._film]
        self._say("ready")
        self._enable()

    # What a person does.

    def run(self, steps: int) -> None:
        """Train for so many steps, or to the end if that comes first; returns when they are done."""
        self.pause()
        until = self._steps + steps
        while self._steps < until and self._advance(until - self._steps):
            pass
        self._show(final=True)
        self._enable()

    def play(self) -> None:
        """Go on in the background until the end or :meth:`pause`; needs a running event loop, as a notebook has."""
        if self._task is None and not self.ended:
            self._task = asyncio.get_running_loop().create_task(self._bursts())
            self._enable()

    def pause(self) -> None:
        """Stop after the present step; :meth:`play`, :meth:`step` and :meth:`run` go on from there."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._show(final=True)
            self._enable()

    def step(self) -> None:
        """Take one step."""
        self.run(1)

    @property
    def playing(self) -> bool:
        """Whether training goes on in the background."""
        return self._task is not None

    def close(self) -> None:
        """Pause, and take the widget off the page."""
        self.pause()
        super().close()

    # How it trains.

    async def _bursts(self) -> None:
        try:
            while self._advance():
                # Long enough for the kernel to hear buttons and other cells.
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            return
        except Exception:
            self._task = None
            self._enable()
            raise
        self._task = None
        self._enable()

    def _advance(self, steps: int | None = None) -> bool:
        """Train for one burst, or fewer steps if so many are done sooner; False when the run has ended."""
        until = None if steps is None else self._steps + steps
        began = time.perf_counter()
        try:
            for event in self._stream:
                self.events.append(event)
                if isinstance(event, Step):
                    self._steps += 1
                    if self._steps == until or time.perf_counter() - began > BURST:
                        break
            else:
                self.ended = True
        except StrawberryError as error:
            self.ended, self.failure = True, str(error)
        self._show()
        return not self.ended

    # What is shown.

    def _show(self, final: bool = False) -> None:
        """Bring the page up to date: words at once, pictures when they are due or it is the last look for now."""
        self._say(self.failure or _status(self.events))
        sampled = _last(self.events, Sampled)
        if sampled is not None:
            self._sample.value = (
                f"<div style='margin: 4px 12px'><small>Written at step {sampled.step}</small><br>"
                f"<b>{html.escape(sampled.prompt)}</b>{html.escape(sampled.text)}</div>"
            )
        for pace, draw in ((self._draw_pace, self._draw_curve), (self._probe_pace, self._watch)):
            began = time.perf_counter()
            if final or pace.due(began):
                draw()
                now = time.perf_counter()
                pace.spent(now - began, now)

    def _draw_curve(self) -> None:
        started = _last(self.events, Started)
        figure = loss_curve(
            *curve(self.events, Step),
            validation=curve(self.events, Evaluated),
            bytes_per_token=None if started is None else started.bytes_per_token,
            accuracy=answered(self.events),
            floor=next((event.floor for event in self.events if isinstance(event, Evaluated)), None),
            theme=self._theme,
        )
        # Lower than on a page of its own, so that the loss and the weights are seen together.
        self._curve.show(figure.update_layout(height=320))

    def _watch(self) -> None:
        step = _last(self.events, Step)
        if not self._text or step is None:
            return
        before, now = self.last_probe, step.step
        if before is not None and before.step == now:
            return
        self.last_probe = probe(self.trainer.model, self.trainer.tokenizer, self._text, step=now)
        if self.last_probe.frames and before is None:
            self._film.children = self._filmstrip_with_choices(self.last_probe)
        elif self.last_probe.frames:
            self._redraw()

    def _filmstrip_with_choices(self, seen: Probe) -> list[Any]:
        self._layer = Dropdown(options=[(f"layer {n}", n) for n in range(seen.layers)], layout=Layout(width="110px"))
        self._projection = ToggleButtons(options=list(seen.projections), style={"button_width": "auto"})
        for choice in (self._layer, self._projection):
            choice.observe(lambda _: self._redraw(), names="value")
        self._strip = LiveFigure(filmstrip(seen, theme=self._theme))
        return [HBox([self._layer, self._projection]), self._strip]

    def _redraw(self) -> None:
        if self.last_probe is not None:
            chosen: dict[str, Any] = {"layer": self._layer.value, "projection": self._projection.value}
            self._strip.show(filmstrip(self.last_probe, **chosen, theme=self._theme))

    def _enable(self) -> None:
        self._play.disabled = self.ended or self.playing
        self._step.disabled = self.ended or self.playing
        self._pause.disabled = not self.playing

    def _say(self, sentence: str) -> None:
        colour = colours(self._theme).alarm if self.failure else "inherit"
        self._status.value = f"<span style='color: {colour}; margin-left: 8px'>{html.escape(sentence)}</span>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The live widget and, for places that cannot show one, a still picture of what it shows now."""
        bundle = dict(super()._repr_mimebundle_(**options) or {})
        if self.events:
            bundle["image/png"] = still(self.events)
        return bundle


def _last(events: Iterable[Event], kind: type[Any]) -> Any:
    return next((event for event in reversed(list(events)) if isinstance(event, kind)), None)


def _status(events: list[Event]) -> str:
    started, step, evaluated = (_last(events, kind) for kind in (Started, Step, Evaluated))
    finished, warned = _last(events, Finished), _last(events, Warned)
    parts = []
    if step is not None:
        of = f" of {started.steps}" if started is not None else ""
        parts = [f"step {step.step}{of}", f"loss {step.loss:.3f} nats/token"]
        if evaluated is not None:
            if evaluated.bits_per_byte is not None:
                parts.append(f"{evaluated.bits_per_byte:.3f} bits/byte on validation text")
            if evaluated.accuracy is not None:
                parts.append(f"{evaluated.accuracy:.1%} right in validation")
            if evaluated.floor is not None:
                parts.append(f"{evaluated.loss - evaluated.floor:+.4f} from the source's entropy in validation")
        parts.append(f"{step.tokens_per_s:,.0f} tokens/s")
    if finished is not None:
        parts.append("finished" if finished.reason == "done" else finished.reason)
    if warned is not None:
        parts.append(warned.message)
    return " · ".join(parts) or "ready"

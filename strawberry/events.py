"""What training tells: small frozen records, one JSON object per line in a run's ``events.jsonl``."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Anything that training tells; ``event`` is its name in JSON."""

    event: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary whose key ``event`` names the kind."""
        return {"event": self.event, **{item.name: getattr(self, item.name) for item in dataclasses.fields(self)}}

    def to_line(self) -> str:
        """One line of JSON with its line break; numbers that are not finite are written as text."""
        return json.dumps(_finite(self.to_dict()), ensure_ascii=False, allow_nan=False) + "\n"

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Event":
        """The inverse of :meth:`to_dict`; keys that this version does not know are left out.

        Raises ``ValueError`` when the kind is unknown or a value is missing.
        """
        kind = KINDS.get(values.get("event", ""))
        if kind is None:
            raise ValueError(f"unknown event {values.get('event')!r}; the events are {', '.join(KINDS)}")
        items = dataclasses.fields(kind)
        missing = [item.name for item in items if _required(item) and item.name not in values]
        if missing:
            raise ValueError(f"event {kind.event!r} lacks {', '.join(missing)}")
        return kind(**{item.name: _restored(item, values[item.name]) for item in items if item.name in values})

    @staticmethod
    def from_line(line: str | bytes) -> "Event":
        """Read one line of ``events.jsonl``; raises ``ValueError`` when it is not an event."""
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError("an event must be a JSON object")
        return Event.from_dict(values)


@dataclass(frozen=True)
class Started(Event):
    """Training begins, or goes on from a checkpoint: then ``step`` is above 0 and later events are void.

    ``tokens_train`` and ``bytes_per_token`` are None where tokens never run out, and where there is no text; ``metric``
    is what the data is judged by, as in :class:`strawberry.data.Dataset`.
    """

    event: ClassVar[str] = "started"
    step: int
    steps: int
    config: dict[str, Any]
    parameters: int
    data: str
    tokens_train: int | None
    bytes_per_token: float | None
    tokens_per_step: int
    device: str
    precision: str
    causal: bool
    metric: str = "bits_per_byte"


@dataclass(frozen=True)
class Step(Event):
    """One optimiser step is done. ``loss`` is the mean cross-entropy in nats per token, before the step.

    ``total_loss`` adds the routers' losses; ``grad_norm`` is the norm before clipping; ``tokens`` and
    ``seconds`` count from the start of the run; ``loads`` gives each router's share of assignments per expert;
    ``passes`` is how often the stack was run, where training decides that anew each time.
    """

    event: ClassVar[str] = "step"
    step: int
    loss: float
    total_loss: float
    lr: float
    grad_norm: float
    tokens: int
    tokens_per_s: float
    seconds: float
    loads: dict[str, list[float]] = field(default_factory=dict)
    passes: float | None = None


@dataclass(frozen=True)
class Evaluated(Event):
    """The loss on validation data in nats per scored token; bits per byte where that is text.

    ``train_loss`` is the mean over the steps since the last evaluation, in nats per token. ``accuracy`` is the share
    of right answers, of tasks; ``floor`` the loss that no honest model can beat on these very tokens, of sources;
    ``error`` the standard error of the loss over rows.
    """

    event: ClassVar[str] = "evaluated"
    step: int
    loss: float
    bits_per_byte: float | None
    train_loss: float | None = None
    accuracy: float | None = None
    floor: float | None = None
    error: float | None = None


@dataclass(frozen=True)
class Sampled(Event):
    """Text that the model wrote after ``prompt``, which ``text`` does not repeat."""

    event: ClassVar[str] = "sampled"
    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class Saved(Event):
    """A checkpoint is on disk; ``path`` is relative to the run folder."""

    event: ClassVar[str] = "saved"
    step: int
    path: str


@dataclass(frozen=True)
class Warned(Event):
    """Something that a person should know, in one sentence; an ``alarm`` says that the numbers cannot be true."""

    event: ClassVar[str] = "warned"
    message: str
    step: int = 0
    alarm: bool = False


@dataclass(frozen=True)
class Finished(Event):
    """Training ended: ``reason`` is "done", or a sentence that says why it stopped before the last step."""

    event: ClassVar[str] = "finished"
    step: int
    reason: str


KINDS: dict[str, type[Event]] = {
    kind.event: kind for kind in (Started, Step, Evaluated, Sampled, Saved, Warned, Finished)
}


def _required(item: "dataclasses.Field[Any]") -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


# JSON has no infinity: browsers and other readers refuse Python's bare NaN.
_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def _restored(item: "dataclasses.Field[Any]", value: Any) -> Any:
    return _WORDS.get(value, value) if item.type in (float, float | None) and isinstance(value, str) else value

"""What can be changed in a model while it reads: plain descriptions, each in words and in one line of Python.

Layers, passes ("loop"), heads, channels and experts count from 0, as in a :class:`lab.probe.Probe`; where one of them
may be None, it means all of them. Frame r is what pass r runs on, frame 0 the state before the first one.
"""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from lab.gather import PROJECTIONS, ROUTERS
from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.sharing import runs
from strawberry.tap import taps

# What a transplant does, in words that go between "wC of qkv in layer 0" and "at pass 1".
HOWS = {
    "freeze": "is kept from one frame earlier",
    "zero": "is set to 0",
    "swap": "change places",
    "base": "is set to the base",
    "donor": "comes from another text",
}
SIDES = {"current": ("wC",), "transformed": ("wT",), "both": ("wC", "wT")}
EXPERTS = {"attention": "attention expert", "swiglu": "SwiGLU expert", "ffn": "feed-forward expert"}


class InterventionError(StrawberryError):
    """An intervention asks for something that this model has not, or cannot do."""


@dataclass(frozen=True)
class Intervention(ABC):
    """One change. ``words`` says it to a person, ``code`` in Python; nothing here touches a model."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is changed, as a phrase without a full stop."""

    @property
    def code(self) -> str:
        """One line of Python that makes this description; what has its default is left out."""
        told = [
            f"{item.name}={value!r}"
            for item in dataclasses.fields(self)
            if (value := getattr(self, item.name)) != item.default
        ]
        return f"{type(self).__name__}({', '.join(told)})"

    @abstractmethod
    def check(self, model: Any, loops: int) -> None:
        """Raise :class:`InterventionError` unless it can be done to ``model``, run ``loops`` times."""

    def acts(self, layer: int, loop: int) -> bool:
        """Whether it concerns this layer in this pass."""
        return all(getattr(self, name, None) in (None, here) for name, here in (("layer", layer), ("loop", loop)))


@dataclass(frozen=True)
class Transplant(Intervention):
    """Other weights in the place of those that the Retention Mechanism made.

    how: ``freeze`` keeps the frame before, ``zero`` and ``base`` put 0 or the learned base, ``swap`` exchanges wC and
    wT (so ``which`` is both), ``donor`` takes what the model makes of the text ``donor`` at the same place. projection:
    qkv, swiglu or out. frame: 0 to loops; None is every pass, not frame 0. which: "current" (wC, which the pass runs
    on), "transformed" (wT, from which the next wC is made) or "both". Later frames are made from what is put here.

    A donor's chunk j goes to chunk j; where the donor text is shorter, its last chunk serves the rest. Chunk 0 comes
    from the learned prior alone, so a donor shorter than one chunk brings weights without any text in them.
    """

    how: str
    layer: int | None = None
    projection: str | None = None
    frame: int | None = None
    which: str = "current"
    donor: str = ""

    def __post_init__(self) -> None:
        _one_of("how", self.how, HOWS)
        _one_of("which", self.which, SIDES)
        if self.projection is not None:
            _one_of("projection", self.projection, PROJECTIONS)
        if self.how == "freeze" and self.frame == 0:
            raise InterventionError("frame 0 has none before it to keep; freeze a frame from 1 on")
        if self.how == "donor" and not self.donor:
            raise InterventionError("a transplant from another text needs that text; give it as donor")

    @property
    def sides(self) -> tuple[str, ...]:
        """Which of wC and wT it changes."""
        return SIDES["both" if self.how == "swap" else self.which]

    @property
    def words(self) -> str:
        of = f"of {self.projection or 'all projections'} in {_layer(self.layer)}"
        when = "before the first pass" if self.frame == 0 else _pass(None if self.frame is None else self.frame - 1)
        done = HOWS[self.how]
        if len(self.sides) == 2:
            done = done.replace("is ", "are ", 1).replace("comes", "come")
        text = f" (“\u2068{shortened(self.donor)}\u2069”)" if self.how == "donor" else ""
        return f"{' and '.join(self.sides)} {of} {done}{text} {when}"

    def acts(self, layer: int, loop: int) -> bool:
        """Whether it concerns this layer at this *frame*."""
        return self.layer in (None, layer) and (loop == self.frame if self.frame is not None else loop > 0)

    def check(self, model: Any, loops: int) -> None:
        config: Config = model.config
        if config.weights != "retention":
            raise InterventionError(
                f"{config.family} makes no weights while it reads (its weights are {config.weights}), so there are "
                "none to transplant; choose a model with weights=retention"
            )
        _check_layer(config, self.layer)
        _check_number("frame", self.frame, loops + 1)


@dataclass(frozen=True)
class SilenceHead(Intervention):
    """One head of a layer's mixer gives out 0."""

    layer: int
    head: int
    loop: int | None = None

    @property
    def words(self) -> str:
        return f"head {self.head} of layer {self.layer} is silent {_pass(self.loop)}"

    def check(self, model: Any, loops: int) -> None:
        _check_place(model.config, self.layer, self.loop, loops)
        _check_number("head", self.head, model.config.n_heads)


@dataclass(frozen=True)
class SilenceChannels(Intervention):
    """Channels ``start`` up to, but not including, ``stop`` of a layer's mixer, all heads in a row, give out 0."""

    layer: int
    start: int
    stop: int
    loop: int | None = None

    @property
    def words(self) -> str:
        return f"channels {self.start} to {self.stop - 1} of layer {self.layer} are silent {_pass(self.loop)}"

    def check(self, model: Any, loops: int) -> None:
        _check_place(model.config, self.layer, self.loop, loops)
        if not 0 <= self.start < self.stop <= model.config.d_qkv:
            raise InterventionError(
                f"channels must be a part of 0 to {model.config.d_qkv}, such as start=0, stop=8; "
                f"got start={self.start}, stop={self.stop}"
            )


@dataclass(frozen=True)
class SilenceExpert(Intervention):
    """An expert that no token gets: its share goes to the token's other experts, in proportion.

    Where a token had chosen it alone, its share goes to the expert that the router thinks likeliest of the others.
    kind: "attention", "swiglu" (of the made mini-SwiGLU) or "ffn".
    """

    kind: str
    expert: int
    layer: int | None = None
    loop: int | None = None

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, EXPERTS)

    @property
    def words(self) -> str:
        return f"{EXPERTS[self.kind]} {self.expert} of {_layer(self.layer)} is silent {_pass(self.loop)}"

    def check(self, model: Any, loops: int) -> None:
        _check_router(model, self.kind, self.expert, self.layer, self.loop, loops)
        if _experts(model.config, self.kind) < 2:
            raise InterventionError("there is only one expert, and nobody who could do its work; silence a head")


@dataclass(frozen=True)
class ForceExpert(Intervention):
    """An expert that every token gets, with a gate of 1, and no other."""

    kind: str
    expert: int
    layer: int | None = None
    loop: int | None = None

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, EXPERTS)

    @property
    def words(self) -> str:
        return (
            f"every token gets {EXPERTS[self.kind]} {self.expert} of {_layer(self.layer)}, and no other, "
            f"{_pass(self.loop)}"
        )

    def check(self, model: Any, loops: int) -> None:
        _check_router(model, self.kind, self.expert, self.layer, self.loop, loops)


@dataclass(frozen=True)
class Loops(Intervention):
    """Another number of passes over the layers than in training; of several such changes the last one counts."""

    loops: int

    def __post_init__(self) -> None:
        if not isinstance(self.loops, int) or self.loops < 1:
            raise InterventionError(f"a model runs its layers once or more; got loops={self.loops!r}")

    @property
    def words(self) -> str:
        return f"the layers run {'once' if self.loops == 1 else f'{self.loops} times'}"

    def check(self, model: Any, loops: int) -> None:
        if model.config.recursion != "all":
            raise InterventionError("a mixture of recursions chooses among the passes it has; keep their number")


def shortened(text: str, most: int = 40) -> str:
    """The beginning of a text, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _layer(layer: int | None) -> str:
    return "every layer" if layer is None else f"layer {layer}"


def _pass(loop: int | None) -> str:
    return "in every pass" if loop is None else f"in pass {loop + 1}"


def _one_of(name: str, value: str, choices: Any) -> None:
    if value not in choices:
        raise InterventionError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def _check_number(name: str, value: int | None, count: int) -> None:
    if value is not None and not 0 <= value < count:
        raise InterventionError(f"there is no {name} {value}; this model has {name}s 0 to {count - 1}")


def _check_layer(config: Config, layer: int | None) -> None:
    _check_number("layer", layer, config.n_layers)


def _check_place(config: Config, layer: int | None, loop: int | None, loops: int) -> None:
    _check_layer(config, layer)
    if loop is None:
        return
    most = loops if layer is None else runs(config, layer, loops)
    if not 0 <= loop < most:
        often = "once" if most == 1 else f"{most} times"
        raise InterventionError(f"there is no pass {loop + 1} in {_layer(layer)}, which runs {often}")


def _experts(config: Config, kind: str) -> int:
    return len(config.windows) if kind == "attention" else config.n_experts


def _check_router(model: Any, kind: str, expert: int, layer: int | None, loop: int | None, loops: int) -> None:
    _check_place(model.config, layer, loop, loops)
    have = routed(model, kind)
    if not have or layer not in (None, *have):
        where = f"they are in layer {', '.join(map(str, have))}" if have else f"{model.config.family} has none"
        raise InterventionError(f"there are no {EXPERTS[kind]}s in {_layer(layer)}; {where}")
    _check_number("expert", expert, _experts(model.config, kind))


def routed(model: Any, kind: str) -> list[int]:
    """The layers that have experts of this kind."""
    found = taps(model)
    return [layer for layer in range(model.config.n_layers) if f"layers.{layer}.{ROUTERS[kind]}.gates" in found]

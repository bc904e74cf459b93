"""Carries descriptions of changes out: attaches them to a model's taps for as long as a ``with`` block lasts."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from lab.gather import PROJECTIONS, ROUTERS
from lab.interventions.describe import (
    ForceExpert,
    Intervention,
    InterventionError,
    Loops,
    SilenceChannels,
    SilenceExpert,
    SilenceHead,
    Transplant,
    routed,
)
from lab.measure.lens import beyond
from strawberry.retention.update import update
from strawberry.tap import Trace, intervene

SIDES = ("current", "transformed")
# What a donor text made: (layer, projection, side) -> one tensor (1, chunks, rows, columns) per frame.
Donated = Mapping[tuple[int, str, str], Sequence[Tensor]]
Hand = Callable[[Tensor], Tensor | None]


@contextmanager
def reaching(
    model: Any, interventions: Sequence[Intervention], tokenizer: Any = None, max_tokens: int = 256
) -> Iterator[Any]:
    """A model that does as ``interventions`` say, in every forward pass inside the block, one row at a time.

    They act in their order: each finds what those before it left. ``tokenizer`` is needed for a donor's text, of which
    up to ``max_tokens`` tokens are read, by the model as it is. What comes back shares all weights with ``model``,
    through which nobody else may run meanwhile. Raises :class:`InterventionError` for what the model has not, and
    :class:`strawberry.errors.TraceError` for what its taps do not let anybody replace.
    """
    loops = _loops(model, interventions)
    for each in interventions:
        each.check(model, loops)
    texts = dict.fromkeys(each.donor for each in interventions if isinstance(each, Transplant) and each.how == "donor")
    runner = copy.copy(model)
    # A shallow copy: its layers are the model's own, its number of passes is not.
    runner.config = model.config.replace(loops=loops)
    donors = {text: donated(runner, tokenizer, text, max_tokens) for text in texts}
    with ExitStack() as stack:
        clock = _Clock()
        stack.enter_context(intervene(model, {"embedded": lambda value, call: clock.restart()}))
        for path, hand in _hands(runner, interventions, clock, donors):
            stack.enter_context(intervene(model, {path: lambda value, call, hand=hand: hand(value)}))
        yield runner


def donated(model: Any, tokenizer: Any, text: str, max_tokens: int) -> Donated:
    """The weights, of every layer, projection, side and frame, that ``model`` makes while it reads ``text``."""
    ids = [] if tokenizer is None else list(tokenizer.encode(text))[:max_tokens]
    if not ids:
        raise InterventionError("the other text has no tokens to make weights from; give it a word or more")
    device = next(model.parameters()).device
    with torch.inference_mode(), Trace.of(model, ["*.w_current.*", "*.w_transformed.*"]) as trace:
        # As many passes as a look at the model may take, which is more than the trained ones.
        model(torch.tensor([ids], device=device), loops=beyond(model))
    places = ((layer, name, side) for layer in range(model.config.n_layers) for name in PROJECTIONS for side in SIDES)
    return {(layer, name, side): trace[f"layers.{layer}.retention.w_{side}.{name}"] for layer, name, side in places}


class _Clock:
    """Counts the calls of each tap within one forward pass, which begins where tokens are embedded."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def restart(self) -> None:
        self.calls.clear()

    def tick(self, path: str) -> int:
        """How often ``path`` was called before in this forward pass."""
        self.calls[path] += 1
        return self.calls[path] - 1


def _loops(model: Any, interventions: Sequence[Intervention]) -> int:
    return ([each.loops for each in interventions if isinstance(each, Loops)] or [model.config.loops])[-1]


def _hands(
    model: Any, interventions: Sequence[Intervention], clock: _Clock, donors: Mapping[str, Donated]
) -> Iterator[tuple[str, Hand]]:
    """(path of a tap, what to do there), in the order in which they must be attached."""
    transplants = [each for each in interventions if isinstance(each, Transplant)]
    for layer in range(model.config.n_layers):
        for name in PROJECTIONS:
            chosen = [each for each in transplants if each.layer in (None, layer) and each.projection in (None, name)]
            if chosen:
                pair = _Pair(model, layer, name, chosen, donors, clock)
                yield f"layers.{layer}.retention.w_transformed.{name}", pair.transformed
                yield f"layers.{layer}.retention.w_current.{name}", pair.current
    for number, each in enumerate(interventions):
        if isinstance(each, SilenceHead | SilenceChannels):
            path = f"layers.{each.layer}.mixed"
            yield path, _silence(each, clock, f"{path} {number}")
        elif isinstance(each, SilenceExpert | ForceExpert):
            for layer in [each.layer] if each.layer is not None else routed(model, each.kind):
                path = f"layers.{layer}.{ROUTERS[each.kind]}"
                route = _Route(each, layer, clock, f"{path} {number}")
                yield f"{path}.probs", route.hear
                yield f"{path}.gates", route.change


class _Pair:
    """wT and wC of one layer and projection, as the transplants leave them, frame by frame.

    A frame's wT passes its tap before its wC does, so a swap works out by itself which wC is about to come.
    """

    def __init__(
        self,
        model: Any,
        layer: int,
        name: str,
        transplants: Sequence[Transplant],
        donors: Mapping[str, Donated],
        clock: _Clock,
    ) -> None:
        self.base: Tensor = model.layers[layer].retention.base[name].detach()
        self.layer, self.name, self.transplants, self.donors, self.clock = layer, name, transplants, donors, clock
        self.frame, self.arrived, self.after = 0, torch.empty(0), torch.empty(0)
        self.left: dict[str, Tensor] = {}

    def transformed(self, value: Tensor) -> Tensor | None:
        """What goes on in the place of this frame's wT."""
        self.frame = self.clock.tick(f"pair {self.layer} {self.name}")
        if not self.frame:
            self.left = {}
        self.arrived = value
        chosen = self._chosen()
        coming = self._coming(value) if any(each.how == "swap" for each in chosen) else value
        self.after = self._folded(chosen, value, coming)["transformed"]
        return _changed(value, self.after)

    def current(self, value: Tensor) -> Tensor | None:
        """What goes on in the place of this frame's wC."""
        after = self._folded(self._chosen(), self.arrived, value)["current"]
        self.left = {"transformed": self.after, "current": after}
        return _changed(value, after)

    def _chosen(self) -> list[Transplant]:
        return [each for each in self.transplants if each.acts(self.layer, self.frame)]

    def _coming(self, like: Tensor) -> Tensor:
        """The wC that the model is about to make from what was left of the frame before."""
        if not self.left:
            return self.base.expand_as(like)
        return update(self.left["transformed"], self.left["current"]).expand_as(like)

    def _folded(self, chosen: Sequence[Transplant], transformed: Tensor, current: Tensor) -> dict[str, Tensor]:
        pair = {"transformed": transformed, "current": current}
        for each in chosen:
            if each.how == "swap":
                pair = {"transformed": pair["current"], "current": pair["transformed"]}
                continue
            for side in SIDES if each.which == "both" else (each.which,):
                pair[side] = self._put(each, side, pair[side])
        return pair

    def _put(self, transplant: Transplant, side: str, value: Tensor) -> Tensor:
        if transplant.how == "zero":
            return torch.zeros_like(value)
        if transplant.how == "base":
            return self.base.to(value.dtype).expand_as(value)
        if transplant.how == "freeze":
            return self.left[side].expand_as(value)
        frames = self.donors[transplant.donor][self.layer, self.name, side]
        sets = frames[min(self.frame, len(frames) - 1)]
        return sets[:, torch.arange(value.shape[1]).clamp(max=sets.shape[1] - 1)].to(value.dtype).expand_as(value)


def _changed(value: Tensor, after: Tensor) -> Tensor | None:
    """The replacement, or None where it is the same: then the model goes on exactly as it would have."""
    return None if after is value or torch.equal(after, value) else after


def _silence(each: SilenceHead | SilenceChannels, clock: _Clock, name: str) -> Hand:
    """Sets a part of what a mixer gave out, (batch, seq, head, d_head), to 0."""

    def hand(mixed: Tensor) -> Tensor | None:
        if not each.acts(each.layer, clock.tick(name)):
            return None
        if isinstance(each, SilenceHead):
            index = torch.tensor([each.head], device=mixed.device)
            return mixed.index_fill(2, index, 0)
        channels = torch.arange(each.start, each.stop, device=mixed.device)
        return mixed.flatten(2).index_fill(2, channels, 0).view_as(mixed)

    return hand


class _Route:
    """One router's gates (…, experts), changed; its probabilities pass by just before and are remembered."""

    def __init__(self, each: SilenceExpert | ForceExpert, layer: int, clock: _Clock, name: str) -> None:
        self.each, self.layer, self.clock, self.name = each, layer, clock, name
        self.probabilities = torch.empty(0)

    def hear(self, probabilities: Tensor) -> None:
        self.probabilities = probabilities

    def change(self, gates: Tensor) -> Tensor | None:
        if not self.each.acts(self.layer, self.clock.tick(self.name)):
            return None
        if isinstance(self.each, ForceExpert):
            return torch.zeros_like(gates).index_fill(-1, self._expert(gates), 1)
        others = gates.index_fill(-1, self._expert(gates), 0)
        left = others.sum(dim=-1, keepdim=True)
        next_best = self.probabilities.index_fill(-1, self._expert(gates), -1).argmax(dim=-1, keepdim=True)
        alone = torch.zeros_like(gates).scatter(-1, next_best, 1)
        shares = torch.where(left > 0, others / left.clamp(min=torch.finfo(gates.dtype).tiny), alone)
        concerned = gates[..., self.each.expert, None] > 0
        return torch.where(concerned, shares * gates.sum(dim=-1, keepdim=True), gates)

    def _expert(self, gates: Tensor) -> Tensor:
        return torch.tensor([self.each.expert], device=gates.device)

"""Which tokens moved a prediction most: by the maps, by the gradient, and by taking each token away.

Three answers to one question, side by side because none of them is the truth. All are about log p of one next token
after one position, and have one number per token of the text; where the model is causal, later tokens have 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.gather import idle_threads, one_thread
from lab.measure.calibration import evaluating
from lab.measure.maps import shares
from lab.probe import Probe, probe
from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.retention.mechanism import RetentionState
from strawberry.scoring import IGNORED
from strawberry.sharing import visits
from strawberry.state import State
from strawberry.tap import Listener, intervene

AT_ONCE = 8192  # tokens of one batch of altered texts
SPAN = 32  # texts of one batch that go on from the same state, each with another of the next tokens blanked
WAYS = ("map", "gradient", "removal")


class InfluenceError(StrawberryError):
    """A prediction was asked about that the text does not have."""


@dataclass(frozen=True)
class Influence:
    """How much each of T tokens moved the prediction of ``target`` after token ``position``.

    map: (T,) shares ≥ 0 that sum to 1. gradient: (T,) nats ≥ 0. removal: (T,) nats, above 0 where the token made the
    target likelier. log_p: of the target. true: whether the target is the token that follows in the text, or that the
    task asks for.
    """

    probe: Probe
    position: int
    target: str
    true: bool
    log_p: float
    map: np.ndarray
    gradient: np.ndarray
    removal: np.ndarray

    @property
    def label(self) -> str:
        """One line that says which run, step and seed this is."""
        return self.probe.label

    def strongest(self, way: str, most: int = 3) -> list[int]:
        """The places of the tokens that moved it most in one of the three ways, most first."""
        size = np.abs(getattr(self, way))
        order = np.argsort(-size, kind="stable")[:most]
        return [int(place) for place in order if size[place] > 0]

    def agreement(self, first: str, second: str) -> float:
        """Spearman's rank correlation of two ways' sizes over the tokens up to ``position``; NaN where one is flat."""
        ranks = [_ranks(np.abs(getattr(self, way)[: self.position + 1])) for way in (first, second)]
        if any(rank.std() == 0 for rank in ranks):
            return float("nan")
        return float(np.corrcoef(np.stack(ranks))[0, 1])


@one_thread()
def influence(
    model: Any,
    tokenizer: Any,
    text: str,
    position: int,
    *,
    target: int | None = None,
    step: int | None = None,
    run: str | None = None,
    max_tokens: int = 256,
    taken: Probe | None = None,
    answers: Callable[[Sequence[int]], np.ndarray] | None = None,
) -> Influence:
    """What moved the prediction after token ``position`` of the first ``max_tokens`` tokens of ``text``.

    target: a token id; None is the token that follows, or that a task asks for there, and where there is none the
    likeliest one. ``taken`` is a probe of this model and text, where there is one already; ``answers`` gives the target
    after each token of a task, as ``strawberry.data.Dataset.answers``. Raises :class:`InfluenceError` for a position or
    a target that does not exist.
    """
    taken = taken or probe(model, tokenizer, text, step=step, run=run, max_tokens=max_tokens, answers=answers)
    if not 0 <= position < taken.tokens:
        raise InfluenceError(f"there is no token {position}; the text has tokens 0 to {taken.tokens - 1}")
    if target is not None and not 0 <= target < model.config.vocab_size:
        raise InfluenceError(f"there is no token id {target}; the model knows 0 to {model.config.vocab_size - 1}")
    following = int(taken.targets[position]) if position + 1 < taken.tokens else IGNORED
    if target is None:
        target = int(taken.arrays["top.ids"][position, 0]) if following == IGNORED else following
    device = next(model.parameters()).device
    tokens = torch.from_numpy(taken.ids.astype(np.int64))[None].to(device)
    with evaluating(model):
        gradient, log_p = by_gradient(model, tokens, position, target)
        with idle_threads():
            removal = by_removal(model, tokens, position, target)
    return Influence(
        taken,
        position,
        tokenizer.pieces([target])[0],
        target == following,
        log_p,
        by_map(taken, position).astype(np.float32),
        gradient.cpu().numpy().astype(np.float32),
        removal.cpu().numpy().astype(np.float32),
    )


def by_map(probe: Probe, position: int) -> np.ndarray:
    """(T,) share of output ``position`` that comes from each token: attention rollout (arXiv 2005.00928).

    In each layer of each pass half of a token's state stays its own and half is read as the map says: by the mean over
    heads or channels of each one's absolute weights, attention experts weighed by their gates. Multiplied through from
    the last layer to the embeddings. It knows only what mixers read: neither how large the values were, nor what the
    text did to weights that are made from it.
    """
    config = Config.from_dict(probe.config)
    row = np.zeros(probe.tokens)
    row[position] = 1
    # What reads the states of an earlier place in the model goes on from there.
    written, early = np.zeros_like(row), np.zeros((config.n_layers, probe.tokens))
    keeps_first = config.recursion != "all" and config.depth_cache == "first"
    order = visits(config)
    for number, (layer, loop, _) in reversed(list(enumerate(order))):
        read, own = _taken_in(probe, layer, loop, row)
        row = own
        if config.mixers[layer] == "cross":
            written += read
            if layer == 0 or config.mixers[order[number - 1].layer] != "cross":
                row, written = row + written, np.zeros_like(row)
        elif keeps_first and loop > 0:
            early[layer] += read
        else:
            row = row + read
        if keeps_first and loop == 0:
            row = row + early[layer]
    return row


def by_gradient(model: Any, tokens: Tensor, position: int, target: int) -> tuple[Tensor, float]:
    """(T,) |∂ log p/∂ embedding| · |embedding| for one row of tokens (1, T), and log p, in nats.

    How much log p changes, to first order and at most, when the token's embedding turns by a small angle, per radian.
    Not their scalar product: a block reads norm(x), which no change of length moves, so that would be near 0 whatever
    the token.
    """
    found: list[Tensor] = []

    def leaf(embedded: Tensor, _: int) -> Tensor:
        found.append(embedded.detach().requires_grad_())
        return found[0]

    with torch.enable_grad(), intervene(model, {"embedded": leaf}):
        log_p = model(_read(model, tokens, position))[0, position].float().log_softmax(dim=-1)[target]
        (gradient,) = torch.autograd.grad(log_p, found[0])
    size = gradient[0].norm(dim=-1) * found[0][0].detach().norm(dim=-1)
    return _whole(size, tokens), float(log_p.detach())


def by_removal(model: Any, tokens: Tensor, position: int, target: int) -> Tensor:
    """(T,) log p with all tokens minus log p with this one blanked, in nats, for one row of tokens (1, T).

    Blanked: its embedding is 0, so that nothing can be read there, while all others keep their places.
    """
    text = _read(model, tokens, position)
    with torch.inference_mode():
        drops = _going_on(model, text, target) if model.causal else _anew(model, text, position, target)
    return _whole(torch.cat(drops), tokens)


def _going_on(model: Any, text: Tensor, target: int) -> list[Tensor]:
    """The drops at the end of a text, for a causal model, from the states in which it read what came before.

    What stands before a blanked token cannot notice it, so a batch of texts begins where its first blank is.
    """
    length, first, state, drops = text.shape[1], 0, None, []
    while first < length:
        rest = text[:, first:]
        rows = min(max(1, AT_ONCE // rest.shape[1]), SPAN, rest.shape[1])
        forks = None if state is None else _forks(state, rows + 1)
        # Compared within one batch, so that nothing but the blank differs.
        with intervene(model, {"embedded": _blank([None, *range(rows)])}):
            logits, _ = model.prefill(rest.expand(rows + 1, -1), forks)
        log_p = logits.float().log_softmax(dim=-1)[:, target]
        drops.append(log_p[0] - log_p[1:])
        first += rows
        if first < length:
            _, state = model.prefill(rest[:, :rows], state)
    return drops


def _forks(state: State, count: int) -> State:
    """One row's state for ``count`` rows that go on from it; weights made of the text so far stay one set for all."""
    made = [block.retention for block in state.blocks]
    bare = [
        replace(block, retention=replace(own, frames=())) if isinstance(own, RetentionState) else block
        for block, own in zip(state.blocks, made, strict=True)
    ]
    forked = replace(state, blocks=tuple(bare)).rows([0] * count)
    blocks = [
        replace(block, retention=replace(block.retention, frames=own.frames))
        if isinstance(own, RetentionState) and isinstance(block.retention, RetentionState)
        else block
        for block, own in zip(forked.blocks, made, strict=True)
    ]
    return replace(forked, blocks=tuple(blocks))


def _anew(model: Any, text: Tensor, position: int, target: int) -> list[Tensor]:
    """The drops after ``position`` for a model that reads the future, which has to read the whole text each time."""
    length = text.shape[1]
    # The published Retention mixes the rows of a batch.
    alone = model.config.weights == "retention" and model.config.pooling == "batch"
    rows = 1 if alone else max(1, AT_ONCE // length)

    def log_p(blanked: list[int | None]) -> Tensor:
        with intervene(model, {"embedded": _blank(blanked)}):
            logits = model(text.expand(len(blanked), -1))[:, position]
        return logits.float().log_softmax(dim=-1)[:, target]

    drops, whole = [], log_p([None]) if alone else None
    for first in range(0, length, rows):
        blanked: list[int | None] = list(range(first, min(first + rows, length)))
        both = log_p(blanked) if whole is not None else log_p([None, *blanked])
        drops.append(whole - both if whole is not None else both[0] - both[1:])
    return drops


def _blank(blanked: Sequence[int | None]) -> Listener:
    """Replaces one token's embedding in each row of a batch by 0, or none."""

    def blank(embedded: Tensor, _: int) -> Tensor:
        embedded = embedded.clone()
        for row, place in enumerate(blanked):
            if place is not None:
                embedded[row, place] = 0
        return embedded

    return blank


def _read(model: Any, tokens: Tensor, position: int) -> Tensor:
    """The tokens that can matter: all, or for a causal model those up to the position."""
    return tokens[:, : position + 1] if model.causal else tokens


def _whole(values: Tensor, tokens: Tensor) -> Tensor:
    """Values of the tokens that were read, and 0 for the others."""
    return torch.cat([values, values.new_zeros(tokens.shape[1] - len(values))])


def _taken_in(probe: Probe, layer: int, loop: int, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of shares (T,) of a layer's output: (T,) what its mixer reads from where, and (T,) what stays in place."""
    read = _reading(probe, layer, loop)
    # In a mixture of recursions some tokens pass a layer by.
    takes_part = read.sum(axis=1) > 0
    own = np.where(takes_part, row / 2, row)
    return (row - own) @ read, own


def _reading(probe: Probe, layer: int, loop: int) -> np.ndarray:
    """(T, T) shares with which the tokens of one layer and pass read, heads or channels taken together."""
    if probe.map_axis(layer) == "channel":
        return shares(probe.map(layer, loop))
    count = probe.map_count(layer)
    read = shares(probe.maps(layer, loop, list(range(count))))
    if (layer, "attention") not in probe.routers:
        return shares(read.mean(axis=0))
    gates = probe.gates(layer, loop, "attention")
    weights = np.repeat(gates, count // gates.shape[1], axis=1)
    return shares(np.einsum("hts,th->ts", read, weights))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]

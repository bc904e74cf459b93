"""The Retention Mechanism: generates a block's weights from pooled statistics and evolves them over the passes."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from strawberry.call import Call, Grid
from strawberry.config import Config
from strawberry.norm import norm
from strawberry.retention.pooling import Statistics, at_boundaries, in_grid
from strawberry.retention.sets import Sets, Span
from strawberry.retention.update import update
from strawberry.tap import Tap

NAMES = ("qkv", "swiglu", "out")


@dataclass(frozen=True)
class Weights:
    """The pair (wT, wC) of one block at one pass, and what a later call needs to go on from here."""

    transformed: dict[str, Sets]
    current: dict[str, Sets]
    span: Span
    statistics: Statistics | None
    frames: tuple[dict[str, Tensor], ...]
    scaled: bool

    def apply(self, name: str, x: Tensor) -> Tensor:
        """x (batch, seq, columns) by the current weights, times fan_in^-1/2 if scaled: (batch, seq, rows)."""
        return self.current[name].apply(x * x.shape[-1] ** -0.5 if self.scaled else x, self.span)

    def state(self) -> "RetentionState":
        """What a later call needs."""
        return RetentionState(self.statistics, self.frames)


@dataclass(frozen=True)
class RetentionState:
    """What one layer's mechanism carries from token to token: constant in the number of tokens.

    statistics: of all tokens read; None where the weights ignore them, and then there are no frames. frames: the
    present chunk's matrices by name, each (1 or batch, rows, columns): first the generated ones, then the current ones
    of each pass.
    """

    statistics: Statistics | None
    frames: tuple[dict[str, Tensor], ...]


class Retention(nn.Module):
    """Makes w_qkv (D + 2·D_kv, C), w_swiglu (2C, D) and w_out (C, C) from the block's input.

    With o = norm(x W_O) and a = norm(x W_A), pooled statistics M (C, C) and Y = softmax(τM), the generated weights
    are (Y W_T)ᵀ, split D + 2·D_kv | 2D | C; the 2D part is read row by row as 2C × D, rows alternating between u and v.

    - ``prefix`` (causal): chunk j = ⌊t/c⌋ uses M_j = (κM₀ + S)/(κ + n), S and n the sums over the tokens before the
      chunk; M₀ is learned, so the first chunk's weights are the same for every text.
    - ``static`` (control): the generated weights are learned and ignore the input.
    - ``batch`` (as published): M = OᵀA/C over all rows and all positions. It reads the future and the other rows.

    Source: the Retention Mechanism of Strawberry (Srivastava 2025); the prefix form is this project's causal version.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, d = config.d_model, config.d_qkv
        self.config = config
        self.shapes: dict[str, tuple[int, int]] = {"qkv": (d + 2 * config.d_kv, c), "swiglu": (2 * c, d), "out": (c, c)}
        self.base = nn.ParameterDict({name: nn.Parameter(torch.empty(shape)) for name, shape in self.shapes.items()})
        if config.pooling == "static":
            shapes = self.shapes.items()
            self.learned = nn.ParameterDict({name: nn.Parameter(torch.empty(shape)) for name, shape in shapes})
        else:
            self.w_original = nn.Parameter(torch.empty(c, c))
            self.w_adjust = nn.Parameter(torch.empty(c, c))
            self.w_transform = nn.Parameter(torch.empty(c, 3 * d + 2 * config.d_kv + c))
        if config.pooling == "prefix":
            self.prior = nn.Parameter(torch.empty(c, c))
            self.temperature = nn.Parameter(torch.tensor(math.sqrt(c)))
        self.pooled = Tap()
        self.w_current = nn.ModuleDict({name: Tap() for name in NAMES})
        self.w_transformed = nn.ModuleDict({name: Tap() for name in NAMES})

    def begin(self, x: Tensor, call: Call, state: RetentionState | None) -> Weights:
        """Frame 0 for the block's normalised input x (batch, seq, C): current is the base, transformed is generated."""
        span, pooled, statistics = self._pool(x, call, state)
        if pooled is None:
            generated = {name: Sets(self.learned[name][None], None) for name in NAMES}
        else:
            pooled = pooled.shown_to(self.pooled, span)
            generated = {name: pooled.map(partial(self._generate, name)) for name in NAMES}
            if state is not None:
                generated = {name: sets.going_on(state.frames[0][name], span) for name, sets in generated.items()}
        base = {name: sets.map(partial(self._base, name)) for name, sets in generated.items()}
        return self._shown(generated, base, span, statistics, ())

    def evolve(self, weights: Weights, step: int, state: RetentionState | None) -> Weights:
        """The weights of pass ``step`` (from 0): those of the pass before, or the base, after one update."""
        current = {name: weights.transformed[name].map(update, weights.current[name]) for name in NAMES}
        if state is not None and self.config.pooling != "static":
            # The chunk goes on, so its matrices are known already.
            current = {
                name: sets.going_on(state.frames[step + 1][name], weights.span) for name, sets in current.items()
            }
        return self._shown(weights.current, current, weights.span, weights.statistics, weights.frames)

    def state_size(self) -> int:
        """Numbers that one row's state holds."""
        if self.config.pooling == "static":
            return 0
        sets = sum(math.prod(shape) for shape in self.shapes.values())
        return (self.config.loops + 1) * sets + self.config.d_model**2

    def _pool(self, x: Tensor, call: Call, state: RetentionState | None) -> tuple[Span, Sets | None, Statistics | None]:
        """How x falls into chunks, each chunk's Y, and the statistics after x."""
        length = x.shape[1]
        if self.config.pooling == "static":
            return Span(length, length, length), None, None
        if self.config.pooling == "batch":
            o, a = self._read(x.flatten(0, 1))
            y = (o.mT @ a / math.sqrt(x.shape[2])).softmax(dim=-1)
            return Span(length, length, length), Sets(y[None], None), None
        if call.rows is not None:
            return self._pool_rows(x, Grid.of(call.rows, length, self.config.chunk), state)
        return self._pool_prefix(x, call, state)

    def _pool_prefix(self, x: Tensor, call: Call, state: RetentionState | None) -> tuple[Span, Sets, Statistics | None]:
        length, chunk, decay, keep = x.shape[1], self.config.chunk, self.config.decay, call.keep
        statistics = None if state is None else state.statistics
        fresh = statistics is None
        span = Span(min(length, chunk if fresh else -call.position % chunk), length, chunk)
        last = span.head + max(span.chunks - 1, 0) * chunk
        # The last chunk's own tokens make no weights here; they are read only if a later call goes on.
        o, a = self._read(x if keep else x[:, : last if span.chunks else 0])
        with torch.autocast(x.device.type, enabled=False):
            statistics = statistics or self._nothing(x)
            head = self._soften(self.prior[None]) if fresh else None
            if not span.chunks:
                return span, Sets(head, None), statistics.then(o, a, decay) if keep else None
            if span.head:
                statistics = statistics.then(o[:, : span.head], a[:, : span.head], decay)
            boundaries = at_boundaries(statistics, o[:, span.head : last], a[:, span.head : last], chunk, decay)
            end = boundaries[-1].then(o[:, last:], a[:, last:], decay) if keep else None
            return span, Sets(head, self._mean(boundaries)), end

    def _pool_rows(self, x: Tensor, grid: Grid, state: RetentionState | None) -> tuple[Span, Sets, Statistics]:
        """The same for rows that stand at different places."""
        o, a = self._read(x)
        with torch.autocast(x.device.type, enabled=False):
            start = self._nothing(x) if state is None or state.statistics is None else state.statistics
            boundaries, end = in_grid(start, o, a, grid, self.config.decay)
            return Span(0, x.shape[1], self.config.chunk, grid), Sets(None, self._mean(boundaries)), end

    def _nothing(self, x: Tensor) -> Statistics:
        return Statistics(self.prior.new_zeros(x.shape[0], *self.prior.shape), 0.0)

    def _mean(self, boundaries: list[Statistics]) -> Tensor:
        """Y (batch, chunks, C, C) of the statistics at the start of each chunk."""
        kappa = self.config.prior
        return self._soften(
            torch.stack([(kappa * self.prior + b.sums) / (kappa + b.weight) for b in boundaries], dim=1)
        )

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What each token of x (..., C) adds to the statistics: o and a, both (..., C), never in half precision."""
        o, a = (norm(x @ w).to(w.dtype) for w in (self.w_original, self.w_adjust))
        return o, a

    def _soften(self, mean: Tensor) -> Tensor:
        """Y = softmax(τM) over the last axis of M (..., C, C)."""
        return (self.temperature * mean).softmax(dim=-1)

    def _generate(self, name: str, y: Tensor) -> Tensor:
        """The generated matrix (..., rows, columns) of Y (..., C, C)."""
        qkv, swiglu = self.shapes["qkv"][0], 2 * self.config.d_qkv
        start, stop = {"qkv": (0, qkv), "swiglu": (qkv, qkv + swiglu), "out": (qkv + swiglu, None)}[name]
        product = y @ self.w_transform[:, start:stop]
        return product.reshape(*y.shape[:-2], *self.shapes["swiglu"]) if name == "swiglu" else product.mT

    def _base(self, name: str, like: Tensor) -> Tensor:
        """The base matrix, shared over batch and chunks, laid out in memory as the generated ones are."""
        base = self.base[name] if name == "swiglu" else self.base[name].mT.contiguous().mT
        return base[(None,) * (like.dim() - 2)]

    def _shown(
        self,
        transformed: dict[str, Sets],
        current: dict[str, Sets],
        span: Span,
        statistics: Statistics | None,
        frames: tuple[dict[str, Tensor], ...],
    ) -> Weights:
        transformed = {
            name: sets.shown_to(self._tap("w_transformed", name), span) for name, sets in transformed.items()
        }
        current = {name: sets.shown_to(self._tap("w_current", name), span) for name, sets in current.items()}
        if self.config.pooling != "static":
            frames += ({name: sets.last(span) for name, sets in (current if frames else transformed).items()},)
        return Weights(transformed, current, span, statistics, frames, self.config.scale == "fan_in")

    def _tap(self, which: str, name: str) -> Tap:
        return getattr(self, which)[name]

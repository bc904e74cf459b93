"""The Retention Mechanism without chunks: a token's weights are its memory of all tokens so far, never written out."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strawberry.call import Call
from strawberry.config import Config
from strawberry.errors import TraceError
from strawberry.mixers.written import Written, write, write_delta
from strawberry.norm import norm
from strawberry.retention.mechanism import NAMES, RetentionState
from strawberry.retention.pooling import Statistics
from strawberry.tap import Tap


class LinearRetention(nn.Module):
    """Makes w_qkv (D + 2·D_kv, C), w_swiglu (2C, D) and w_out (C, C) for every token, as base plus generated weights.

    With o = norm(h W_O) and a = norm(h W_A) of the first pass's block input h, and γ = ``decay``:

    - ``linear``: Y_t = S_t/√n_t with S_t = γS_{t−1} + o_t a_tᵀ and n_t = γn_{t−1} + 1. What q, k and v gain by it is
      W_Tᵀ(S_tᵀ h_t)/√n_t: RetNet's retention (arXiv 2307.08621) with h as its q, o as its k and a as its v.
    - ``delta``: Y_t = S_t with S_t = γS_{t−1} + η_t o_t(a_t − γS_{t−1}ᵀo_t)ᵀ, o of unit length and η = σ(h · w_η), the
      gated delta rule (arXiv 2412.06464): what is held under o is replaced by a, not added to.

    The generated weights are (Y W_T)ᵀ in the layout of :class:`strawberry.retention.mechanism.Retention`. A token's
    own o and a are in its memory, so nothing is stale and nothing is made chunk by chunk; the product with an input is
    a causal linear attention over o and a. The rule by which the chunked forms evolve their weights, element by
    element, has no meaning here: each pass applies base + generated to its own input, and S is built once.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, d, qkv = config.d_model, config.d_qkv, config.d_qkv + 2 * config.d_kv
        self.config = config
        self.shapes: dict[str, tuple[int, int]] = {"qkv": (qkv, c), "swiglu": (2 * c, d), "out": (c, c)}
        self.columns = {"qkv": slice(0, qkv), "swiglu": slice(qkv, qkv + 2 * d), "out": slice(qkv + 2 * d, None)}
        self.base = nn.ParameterDict({name: nn.Parameter(torch.empty(shape)) for name, shape in self.shapes.items()})
        self.w_original = nn.Parameter(torch.empty(c, c))
        self.w_adjust = nn.Parameter(torch.empty(c, c))
        self.w_transform = nn.Parameter(torch.empty(c, qkv + 2 * d + c))
        if config.pooling == "delta":
            self.w_rate = nn.Parameter(torch.empty(c))
        self.w_current = nn.ModuleDict({name: Tap() for name in NAMES})
        self.w_transformed = nn.ModuleDict({name: Tap() for name in NAMES})

    def begin(self, x: Tensor, call: Call, state: RetentionState | None) -> "LinearWeights":
        """The weights of all tokens of x (batch, seq, C), the block's normalised input at the first pass."""
        before = None if state is None else state.statistics
        memory, weight = (None, 0.0) if before is None else (before.sums, before.weight)
        o, a = (norm(x @ w).to(w.dtype) for w in (self.w_original, self.w_adjust))
        real = call.real(x)
        with torch.autocast(x.device.type, enabled=False):
            log_decay = o.new_full((1, x.shape[1]), math.log(self.config.decay))
            if real is not None:
                o, log_decay = o.masked_fill(~real[..., None], 0), log_decay.masked_fill(~real, 0)
            if self.config.pooling == "delta":
                rate = (x.to(o.dtype) @ self.w_rate).sigmoid()
                written = write_delta(o * o.shape[-1] ** -0.5, a, rate, log_decay, memory, call.keep)
            else:
                written = write(o, a, log_decay, memory, call.keep)
        weights = LinearWeights(self, written, weight, call)
        self._show("w_current", weights, base_alone=True)
        self._show("w_transformed", weights)
        return weights

    def evolve(self, weights: "LinearWeights", step: int, state: RetentionState | None) -> "LinearWeights":
        """The weights of pass ``step``: the same for every pass."""
        self._show("w_current", weights)
        self._show("w_transformed", weights)
        return weights

    def state_size(self) -> int:
        """Numbers that one row's state holds."""
        return self.config.d_model**2

    def unit_base(self, name: str) -> Tensor:
        """The base matrix (rows, columns); where weights are scaled at use, at RMS 1 however it is kept."""
        kept_small = self.config.scale == "fan_in" and self.config.base_scale == "fan_in"
        return self.base[name] * math.sqrt(self.shapes[name][1]) if kept_small else self.base[name]

    def _show(self, which: str, weights: "LinearWeights", base_alone: bool = False) -> None:
        """Write out, for whoever listens, the matrices after the last token of each chunk: (1 or batch, chunks, …)."""
        for name, tap in getattr(self, which).items():
            if not tap.live:
                continue
            base = self.unit_base(name).expand(1, weights.ends.shape[-1], -1, -1)
            shown = base if base_alone else weights.generated(name)
            if which == "w_current" and not base_alone:
                shown = base + shown
            if tap(shown) is not shown:
                raise TraceError(
                    f"{which}.{name} cannot be replaced with pooling={self.config.pooling}, whose weights are written "
                    "out for looking only; replace what flows through another tap, or use pooling=prefix"
                )


@dataclass(frozen=True)
class LinearWeights:
    """The weights of every token of one call, as what the tokens wrote into the memory.

    weight: n before the call, in tokens, one number or (batch, 1, 1).
    """

    mechanism: LinearRetention
    written: Written
    weight: float | Tensor
    call: Call

    def apply(self, name: str, x: Tensor) -> Tensor:
        """x (batch, seq, columns) by every token's own weights, times fan_in^-1/2 if scaled: (batch, seq, rows)."""
        made = self.mechanism
        if made.config.scale == "fan_in":
            x = x * x.shape[-1] ** -0.5
        base, w = x @ made.unit_base(name).mT, made.w_transform[:, made.columns[name]]
        x = x * self._share(torch.arange(1, x.shape[1] + 1, device=x.device)[:, None])
        if name != "swiglu":
            return base + self.written.read(x) @ w
        # Rows alternate between u and v, the two halves of the generated part.
        halves = [self.written.read_back(x @ half.mT) for half in w.chunk(2, dim=-1)]
        return base + torch.stack(halves, dim=-1).flatten(-2)

    def state(self) -> RetentionState:
        """What a later call needs."""
        assert self.written.end is not None
        rows = self.call.rows
        length = self.written.length if rows is None else rows.length[:, None, None].to(self.written.end.dtype)
        return RetentionState(Statistics(self.written.end, self._weight_after(length)), ())

    @property
    def ends(self) -> Tensor:
        """The last new token of each chunk of ``chunk`` tokens: (chunks,), or (batch, chunks) where rows differ."""
        chunk, last, rows = self.mechanism.config.chunk, self.written.length - 1, self.call.rows
        device = self.written.keys.device
        offset = torch.tensor([self.call.position], device=device) if rows is None else rows.start[:, None]
        offset = offset % chunk
        chunks = (int(offset.max()) + last) // chunk + 1
        return (torch.arange(1, chunks + 1, device=device) * chunk - offset - 1).clamp(max=last)

    def generated(self, name: str) -> Tensor:
        """The generated matrix (batch, chunks, rows, columns) after each of :attr:`ends`."""
        made, count = self.mechanism, self.ends[..., None] + 1
        if self.call.rows is not None:
            count = torch.minimum(count, self.call.rows.length[:, None, None])
        with torch.autocast(count.device.type, enabled=False):
            y = self.written.at(self.ends) * self._share(count)[..., None]
            product = y @ made.w_transform[:, made.columns[name]]
        return product.reshape(*y.shape[:-2], *made.shapes[name]) if name == "swiglu" else product.mT

    def _share(self, count: Tensor) -> Tensor:
        """What the memory is multiplied by after ``count`` (..., 1) new tokens: 1/√n, or 1 where it corrects itself."""
        if self.mechanism.config.pooling == "delta":
            return torch.ones_like(count, dtype=self.written.values.dtype)
        n = self._weight_after(count.to(self.written.values.dtype))
        assert isinstance(n, Tensor)
        # After any token n is 1 or more; before, there is nothing to divide.
        return n.clamp(min=1).rsqrt()

    def _weight_after(self, count: int | Tensor) -> float | Tensor:
        return Statistics(self.written.memory, self.weight).weight_after(count, self.mechanism.config.decay)

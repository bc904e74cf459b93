"""AFT-local and AFT-conv: position biases inside a window, none outside it, and still every earlier token read."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.aft.positions import learned_positions
from strawberry.mixers.aft.simple import AFT
from strawberry.mixers.aft.sums import UNREAD, Sums
from strawberry.mixers.base import ALONE


@dataclass(frozen=True)
class WindowState:
    """Keys and values of the last ``window − 1`` tokens, each (batch, window − 1, head, d_head), and sums over all
    tokens before those. A place that no token has taken yet has the key ``UNREAD``.
    """

    keys: Tensor
    values: Tensor
    older: Sums


class Windowed(AFT):
    """AFT whose biases w_{t,s} are learned for t − s < ``window`` and 0 beyond.

    The tokens inside and outside the window are summed apart, so that nothing cancels: the outer sums run along
    ``window`` tokens late, the inner ones are made anew for every token. O(seq · window).
    """

    state = "two sums per channel, and the last W − 1 tokens' keys and values"
    signal_names = ("bias",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.window = config.window

    @abstractmethod
    def rows(self, bias: Tensor) -> Tensor:
        """The signal as w_{t,t−j}, of shape (batch or 1, head or 1, seq or 1, window) by t and j."""

    def singular(self, seq: int, call: Call) -> int:
        """How many of the new tokens, the first ones, may differ from the rest in their biases or in what they see."""
        return seq

    def weigh(
        self, k: Tensor, v: Tensor, x: Tensor, state: WindowState | None, call: Call
    ) -> tuple[Tensor, WindowState]:
        seq, back = k.shape[1], self.window - 1
        if state is None:
            none = torch.zeros_like(k[:, :1]).expand(-1, back, -1, -1)
            state = WindowState(none + UNREAD, none, Sums.nothing(k))
        rows = self.rows(self.tapped(x, call)["bias"].to(k.dtype))
        keys, values = torch.cat([state.keys, k], dim=1), torch.cat([state.values, v], dim=1)
        # What has left the window before the first new token, before the second, … and after the last.
        older = state.older.then(self.sums(keys[:, :seq], values[:, :seq], state.older))
        if call.rows is None:
            after = WindowState(keys[:, seq:].clone(), values[:, seq:].clone(), older.last())
        else:
            row, length = torch.arange(k.shape[0], device=k.device), call.rows.length
            last = [call.rows.last(x, back, back) for x in (keys, values)]
            after = WindowState(last[0], last[1], Sums(older.peak[row, length], older.totals[row, :, length]))
        older = older.each(lambda x: x[..., :-1, :, :])
        if not self.bounded:
            return _by_ages(keys, values, rows).plus(older).totals, after
        exponentials, positions = keys.exp(), call.positions(seq, k.device)
        read = torch.stack([exponentials * values, exponentials], dim=1)
        cut = self.singular(seq, call)
        parts = []
        if cut:
            parts.append(_by_blocks(read[:, :, : cut + back], rows, older.totals[:, :, :cut], positions[:, :cut]))
        if cut < seq:
            parts.append(_by_blocks(read[:, :, cut:], rows, older.totals[:, :, cut:], positions[:, -1:]))
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0], after

    def state_size(self, seq_len: int) -> int:
        return (3 + 2 * (self.window - 1)) * self.n_heads * self.d_head

    def multiply_adds(self, seq_len: int) -> int:
        if not self.bounded:
            return 0
        cut = self.singular(seq_len, ALONE)
        inside = sum(_products(part, self.window) for part in (cut, seq_len - cut))
        return 2 * self.n_heads * self.d_head * inside // seq_len + super().multiply_adds(seq_len)

    def biases(self, signals: Mapping[str, Tensor], seq: int) -> Tensor:
        rows = self.rows(signals["bias"]).expand(-1, -1, seq, -1)
        age = torch.arange(seq, device=rows.device)[:, None] - torch.arange(seq, device=rows.device)
        bias = rows.gather(-1, age.clamp(0, self.window - 1).expand(*rows.shape[:2], -1, -1))
        return bias.masked_fill(age >= self.window, 0)


class AFTLocal(Windowed):
    """w_{t,s} learned for every pair of positions closer than ``window``, shared by all channels; up to ``seq_len``.

    AFT-local of Zhai et al., arXiv 2105.14103, causal. A text beyond ``seq_len`` raises :class:`StrawberryError`.
    """

    about = "as AFT, with a learned bias for every pair of positions closer than W tokens, and 0 beyond"
    source = "Zhai et al. 2021, arXiv 2105.14103, AFT-local"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.position_bias = nn.Parameter(torch.empty(config.seq_len, config.window))

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """bias: (1 or batch, seq, window), w_{t,t−j} by t and j."""
        return {"bias": self.position_bias[learned_positions(call, x.shape[1], len(self.position_bias), x.device)]}

    def rows(self, bias: Tensor) -> Tensor:
        return bias[:, None]


class AFTConv(Windowed):
    """w_{t,s} learned by distance t − s < ``window``, one set for each head.

    AFT-conv of Zhai et al., arXiv 2105.14103, causal, without the re-parametrisation of the filters.
    """

    about = "as AFT, with a learned bias for each distance below W tokens, by head, and 0 beyond"
    source = "Zhai et al. 2021, arXiv 2105.14103, AFT-conv"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.position_bias = nn.Parameter(torch.empty(config.n_heads, config.window))

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """bias: (1, head, window), by distance."""
        return {"bias": self.position_bias[None]}

    def rows(self, bias: Tensor) -> Tensor:
        return bias[:, :, None]

    def singular(self, seq: int, call: Call) -> int:
        return seq if call.rows is not None else min(seq, max(0, self.window - call.position))


def _by_blocks(read: Tensor, rows: Tensor, older: Tensor, positions: Tensor) -> Tensor:
    """Both sums (batch, 2, seq, head, d_head) for small keys and biases of any size.

    read: (batch, 2, window − 1 + seq, head, d_head), eᵏ v and eᵏ; rows: (batch or 1, head or 1, seq or 1, window);
    older: both sums outside the window, on one scale; positions: (batch or 1, seq), or one for all where all tokens
    have the same biases and a full window.
    """
    window = rows.shape[-1]
    seen = torch.arange(window, device=rows.device) <= positions[..., None]
    rows = rows.masked_fill(~seen[:, None], float("-inf"))
    # Every row has a scale of its own, its largest bias: small keys then keep all that counts within range.
    peak, far = rows.detach().amax(dim=-1), (positions >= window)[:, None]
    peak = torch.where(far, peak.clamp(min=0), peak)
    outside = (-peak).exp().masked_fill(~far, 0).transpose(1, 2)[:, None, ..., None]
    return _banded((rows - peak[..., None]).exp(), read) + outside * older


def _blocks(seq: int, window: int) -> tuple[int, int]:
    """How many blocks of how many tokens the window's products are done in."""
    block = max(window, 32)
    return (1, seq) if seq <= block else (-(-seq // block), block)


def _products(seq: int, window: int) -> int:
    """Multiply-adds of :func:`_banded` per unit of width."""
    blocks, block = _blocks(seq, window)
    return seq * (window - 1 + seq) if blocks == 1 else blocks * 2 * block * block


def _banded(weights: Tensor, x: Tensor) -> Tensor:
    """Σ_j weights[…, t, j] x_{t−j}: (batch or 1, head or 1, seq or 1, window) and (batch, 2, window − 1 + seq, …).

    Each block of tokens meets, in two products, itself and the one before it.
    """
    window = weights.shape[-1]
    seq = x.shape[2] - window + 1
    blocks, block = _blocks(seq, window)
    missing = blocks * block - seq
    if blocks == 1:
        return torch.einsum("bhts,bpshd->bpthd", _skewed(weights.expand(-1, -1, seq, -1), window - 1 + seq), x)
    if weights.shape[2] == 1:
        weights = weights.expand(-1, -1, block, -1)
    rows = pad(weights, (0, 0, 0, -weights.shape[2] % block)).unflatten(2, (-1, block))
    before, now = _skewed(rows, 2 * block).chunk(2, dim=-1)
    cut = pad(x, (0, 0, 0, 0, block - window + 1, missing)).unflatten(2, (blocks + 1, block))
    product = "bhnts,bpnshd->bpnthd"
    both = torch.einsum(product, now, cut[:, :, 1:]) + torch.einsum(product, before, cut[:, :, :-1])
    return both.flatten(2, 3)[:, :, :seq]


def _skewed(rows: Tensor, width: int) -> Tensor:
    """Rows by age (…, seq, window) as rows by place (…, seq, width), where the last row's age 0 is the last place."""
    seq, window = rows.shape[-2:]
    # Laid end to end and cut one place shorter, every row comes to stand one place further right than the last.
    laid = pad(rows.flip(-1), (width - seq - window + 1, seq)).flatten(-2)
    return laid[..., : seq * width].unflatten(-1, (seq, width))


def _by_ages(keys: Tensor, values: Tensor, rows: Tensor) -> Sums:
    """The sums inside the window (batch, seq, head, d_head) for keys and biases of any size, one age after another."""
    window = rows.shape[-1]
    seq = keys.shape[1] - window + 1
    ages = [slice(window - 1 - age, window - 1 - age + seq) for age in range(window)]
    scores = [keys[:, ages[age]] + rows[..., age].transpose(1, 2)[..., None] for age in range(window)]
    peak = scores[0].detach()
    for score in scores[1:]:
        peak = torch.maximum(peak, score.detach())
    totals = torch.zeros_like(peak)[:, None]
    for age, score in zip(ages, scores, strict=True):
        weight = (score - peak).exp()
        totals = totals + torch.stack([weight * values[:, age], weight], dim=1)
    return Sums(peak, totals)

"""Pooling: the running statistics of what was read, from which weights are generated."""

from dataclasses import dataclass

import torch
from torch import Tensor

from strawberry.call import Grid


@dataclass(frozen=True)
class Statistics:
    """S = Σ_s γ^{t−1−s} o_s a_sᵀ and n = Σ_s γ^{t−1−s} over the tokens s before t.

    sums: (batch, C, C). weight: n, in tokens: one number for all rows, or (batch, 1, 1).
    """

    sums: Tensor
    weight: float | Tensor

    def then(self, o: Tensor, a: Tensor, decay: float) -> "Statistics":
        """The statistics after reading o and a, both (batch, seq, C)."""
        length = o.shape[1]
        return Statistics(self.sums * decay**length + outer_sums(o, a, decay), self.weight_after(length, decay))

    def weight_after(self, length: int | Tensor, decay: float) -> float | Tensor:
        """n after ``length`` more tokens."""
        if decay == 1:
            return self.weight + length
        return self.weight * decay**length + (1 - decay**length) / (1 - decay)


def outer_sums(o: Tensor, a: Tensor, decay: float) -> Tensor:
    """Σ_s γ^{L−1−s} o_s a_sᵀ over the second-last axis of o and a (..., L, C) -> (..., C, C)."""
    if decay != 1:
        ages = torch.arange(o.shape[-2] - 1, -1, -1, device=o.device, dtype=o.dtype)
        o = o * (decay**ages)[:, None]
    return o.mT @ a


def in_grid(start: Statistics, o: Tensor, a: Tensor, grid: Grid, decay: float) -> tuple[list[Statistics], Statistics]:
    """The statistics at the start of each chunk of ``grid``, and after each row's last token.

    o, a: (batch, seq, C) in the layout of the call; padding is not read.
    """
    lengths = grid.length[:, None, None].to(o.dtype)
    sums = outer_sums(grid.place(o), grid.place(a), decay)
    boundaries = [start]
    for index in range(grid.chunks - 1):
        last = boundaries[-1]
        # All rows that go on to the next chunk fill this one; what the others get here is not read.
        length = grid.chunk - grid.offset[:, None, None].to(o.dtype) if index == 0 else grid.chunk
        sums_after = last.sums * decay**length + sums[:, index]
        boundaries.append(Statistics(sums_after, last.weight_after(length, decay)))
    places = torch.arange(o.shape[1], device=o.device)
    ages = grid.length[:, None] - 1 - places
    o = o * torch.where(ages >= 0, decay ** ages.clamp(min=0).to(o.dtype), 0.0)[..., None]
    return boundaries, Statistics(start.sums * decay**lengths + o.mT @ a, start.weight_after(lengths, decay))


def at_boundaries(start: Statistics, o: Tensor, a: Tensor, chunk: int, decay: float) -> list[Statistics]:
    """The statistics at the start of each chunk of ``chunk`` tokens; the first starts at ``start``.

    o, a: (batch, seq, C), of which a last, shorter chunk's tokens are not read.
    """
    whole = o.shape[1] // chunk
    shape = (o.shape[0], whole, chunk, o.shape[2])
    o, a = (x[:, : whole * chunk].reshape(shape) for x in (o, a))
    sums = outer_sums(o, a, decay)
    boundaries = [start]
    for index in range(whole):
        last = boundaries[-1]
        boundaries.append(Statistics(last.sums * decay**chunk + sums[:, index], last.weight_after(chunk, decay)))
    return boundaries

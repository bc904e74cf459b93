"""Some tokens of each row, gathered into shorter rows, so that only they are computed."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Crowd:
    """Which tokens: places (batch, most), in order, filled up on the right; length (batch,), how many of them count."""

    places: Tensor
    length: Tensor

    @classmethod
    def of(cls, chosen: Tensor) -> Self:
        """The tokens where ``chosen`` (batch, seq) is True."""
        length = chosen.sum(dim=1)
        order = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)
        return cls(order[:, : int(length.max())], length)

    @property
    def real(self) -> Tensor:
        """Boolean (batch, most): which places count."""
        return torch.arange(self.places.shape[1], device=self.length.device) < self.length[:, None]

    def gather(self, x: Tensor) -> Tensor:
        """(batch, seq, …) -> (batch, most, …)."""
        return x.flatten(0, 1).index_select(0, self._flat(x.shape[1]).flatten()).unflatten(0, self.places.shape)

    def scatter(self, x: Tensor, y: Tensor) -> Tensor:
        """x (batch, seq, …) with these tokens replaced by y (batch, most, …)."""
        from_, to = self.real.flatten().nonzero()[:, 0], self._flat(x.shape[1])[self.real]
        new = y.flatten(0, 1).index_select(0, from_).to(x.dtype)
        return x.flatten(0, 1).index_copy(0, to, new).view_as(x)

    def _flat(self, seq: int) -> Tensor:
        """The places among all tokens of all rows."""
        return self.places + seq * torch.arange(len(self.places), device=self.places.device)[:, None]

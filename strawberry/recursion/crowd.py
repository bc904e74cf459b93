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
        return x[torch.arange(x.shape[0], device=x.device)[:, None], self.places]

    def scatter(self, x: Tensor, y: Tensor) -> Tensor:
        """x (batch, seq, …) with these tokens replaced by y (batch, most, …)."""
        real, row = self.real, torch.arange(x.shape[0], device=x.device)[:, None].expand_as(self.places)
        return x.index_put((row[real], self.places[real]), y[real].to(x.dtype))

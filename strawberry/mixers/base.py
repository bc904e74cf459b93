"""The contract of a token mixer: how positions of one row exchange information, and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from strawberry.call import Call
from strawberry.config import Config
from strawberry.tap import Tap

ALONE = Call()
"""A call on whole rows from their beginning."""


class TokenMixer(nn.Module, ABC):
    """Mixes q, k, v of shape (batch, seq, head, d_head) into an output of the same shape, causally.

    A sequence may be cut anywhere: feeding the parts in turn, carrying the state, equals feeding the whole. Rows may
    stand at different positions and be padded on the right (``call.rows``): padding changes no state, and what is put
    out there is finite and means nothing. The state is a frozen dataclass of tensors whose first axis is the batch; it
    goes in and comes out, and is never changed in place. The projections that make q, k and v come from elsewhere.

    ``map`` and ``mix`` are the same computation in the open: the T×T weights that the mixer implies, and the output
    before its gate that they give; the tap ``context`` carries that output, so a view can be checked against it.
    Every mixer here is linear in v for given q, k and signals, so such weights exist.
    """

    about: ClassVar[str]
    """What it computes, in a formula or a short phrase."""
    source: ClassVar[str]
    """Where it comes from: paper and number."""
    state: ClassVar[str]
    """What it keeps for later tokens, in words; :meth:`state_size` says how much."""
    map_axis: ClassVar[str] = "head"
    """What the maps of :meth:`map` are counted by: ``head`` or ``channel``."""
    averages: ClassVar[bool] = True
    """Whether each row of a map is an average: entries ≥ 0 that sum to 1. Otherwise entries have either sign."""
    grouped: ClassVar[bool] = False
    """Whether k and v may have fewer heads than q; elsewhere the block repeats them."""
    signal_names: ClassVar[tuple[str, ...]] = ()
    """Names of what :meth:`signals` returns."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_heads, self.d_head = config.n_heads, config.d_head
        self.context = Tap()
        self.told = nn.ModuleDict({name: Tap() for name in self.signal_names})

    @abstractmethod
    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: Any = None, call: Call = ALONE
    ) -> tuple[Tensor, Any]:
        """Mix (batch, seq, head, d_head) and return the output with the state after the last token.

        ``x`` (batch, seq, d_model) is the block's normalised input, from which a mixer may make gates and decays.
        """

    @abstractmethod
    def state_size(self, seq_len: int) -> int:
        """Numbers that one row's state holds after ``seq_len`` tokens."""

    @abstractmethod
    def multiply_adds(self, seq_len: int) -> int:
        """Multiply-adds in matrix products per token of a forward pass over ``seq_len`` tokens."""

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """What besides q and k the map depends on, by name: decays made from x, learned position biases, gates."""
        return {}

    def tapped(self, x: Tensor, call: Call) -> dict[str, Tensor]:
        """The signals, each through its tap ``told.<name>``, so that a probe can record them."""
        return {name: self.told[name](value) for name, value in self.signals(x, call).items()}

    @abstractmethod
    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        """The implied weights (batch, maps, seq, seq) of whole rows: all maps, or ``channels``.

        ``signals`` are those of the same rows; a mixer without any needs none.
        """

    def mix(self, maps: Tensor, v: Tensor, channels: Sequence[int] | None = None) -> Tensor:
        """What ``maps`` make of v: (batch, seq, head, d_head); for chosen maps only their heads or channels."""
        if self.map_axis == "head":
            heads = v if v.shape[2] == self.n_heads else v.repeat_interleave(self.n_heads // v.shape[2], dim=2)
            return torch.einsum("bhts,bshd->bthd", maps, heads if channels is None else heads[:, :, list(channels)])
        flat = v.flatten(2) if channels is None else v.flatten(2)[:, :, list(channels)]
        y = torch.einsum("bcts,bsc->btc", maps, flat)
        return y if channels is not None else y.view_as(v)

"""The contract of a token mixer: how positions of one row exchange information, and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from strawberry.config import Config
from strawberry.experts.balance import Ledger
from strawberry.tap import Tap


class TokenMixer(nn.Module, ABC):
    """Mixes q, k, v of shape (batch, seq, head, d_head) into an output of the same shape, causally.

    A sequence may be cut anywhere: feeding the parts in turn, carrying the state, equals feeding the whole.
    The state is a frozen value that goes in and comes out. The projections that make q, k and v come from elsewhere.

    ``map`` and ``mix`` are the same computation in the open: the T×T weights that the mixer implies, and the output
    before its gate that they give; the tap ``context`` carries that output, so a view can be checked against it.
    """

    map_axis: ClassVar[str] = "head"
    """What the maps of :meth:`map` are counted by: ``head`` or ``channel``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_heads, self.d_head = config.n_heads, config.d_head
        self.context = Tap()

    @abstractmethod
    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, state: Any = None, ledger: Ledger | None = None
    ) -> tuple[Tensor, Any]:
        """Mix (batch, seq, head, d_head) and return the output with the state after the last token.

        ``ledger`` collects what routers did, for balance losses.
        """

    @abstractmethod
    def state_size(self, seq_len: int) -> int:
        """Numbers that one row's state holds after ``seq_len`` tokens."""

    @abstractmethod
    def multiply_adds(self, seq_len: int) -> int:
        """Multiply-adds in matrix products per token of a forward pass over ``seq_len`` tokens."""

    @abstractmethod
    def map(self, q: Tensor, k: Tensor, channels: Sequence[int] | None = None) -> Tensor:
        """The implied weights (batch, maps, seq, seq), rows summing to 1: all maps, or ``channels``."""

    @abstractmethod
    def mix(self, maps: Tensor, v: Tensor, channels: Sequence[int] | None = None) -> Tensor:
        """What ``maps`` make of v: (batch, seq, head, d_head), or (batch, seq, len(channels)) for chosen maps."""

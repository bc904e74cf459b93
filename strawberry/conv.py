"""A short causal convolution: every channel mixes its last few values, so that a token knows its neighbours."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from strawberry.call import Call


class ShortConv(nn.Module):
    """y_t = Σ_{j<K} w_j ⊙ x_{t−j} for every channel of x (batch, seq, width); starts as the identity.

    As before the mixers of H3 (arXiv 2212.14052) and Mamba (arXiv 2312.00752), without a nonlinearity. The state is
    the last K − 1 inputs.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.empty(width, size))

    def forward(self, x: Tensor, state: Tensor | None, call: Call) -> tuple[Tensor, Tensor]:
        """The convolved x and the state after it, (batch, K − 1, width)."""
        back = self.taps.shape[1] - 1
        before = x.new_zeros(x.shape[0], back, x.shape[2]) if state is None else state.to(x.dtype)
        whole = torch.cat([before, x], dim=1)
        y = conv1d(whole.mT, self.taps.flip(1)[:, None].to(x.dtype), groups=x.shape[2]).mT
        after = whole[:, whole.shape[1] - back :] if call.rows is None else call.rows.last(whole, back, back)
        return y, after

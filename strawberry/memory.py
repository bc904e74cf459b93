"""The one memory of a decoder–decoder: keys and values that the lower half writes and every upper layer reads."""

import torch
from torch import Tensor, nn

from strawberry.bitlinear import LINEARS
from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.softmax import KVCache, kept
from strawberry.norm import norm
from strawberry.rope import rotate


class Memory(nn.Module):
    """Writes K = norm(RoPE(x W_K)) and V = x W_V from the lower half's output x (YOCO, arXiv 2405.05254, eq. 4)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.kv_heads, self.linear = config.kv_heads, LINEARS[config.rounding]
        self.key = nn.Parameter(torch.empty(config.d_kv, config.d_model))
        self.value = nn.Parameter(torch.empty(config.d_kv, config.d_model))

    def forward(self, x: Tensor, state: KVCache | None, call: Call) -> tuple[KVCache, KVCache]:
        """All keys and values, those of x (batch, seq, C) last; and the same as a state for later tokens."""
        h = norm(x)
        k, v = (self.linear(h, w).unflatten(-1, (self.kv_heads, -1)) for w in (self.key, self.value))
        k = norm(rotate(k, call.turn))
        old = 0 if state is None else state.keys.shape[1]
        if state is not None:
            k, v = torch.cat([state.keys, k], dim=1), torch.cat([state.values, v], dim=1)
        return KVCache(k, v), kept(k, v, old, 0, call)

"""Windows on a GPU by FlexAttention: blocks of keys that no query of a block may read are never touched."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

LONG = 1024  # tokens; below, and without a GPU, blocks of plain attention do as well


def worth_it(q: Tensor, window: int) -> bool:
    """Whether attention of q (batch, seq, head, d_head) within a window should go this way."""
    return q.is_cuda and q.shape[1] >= LONG and 2 * window <= q.shape[1]


def attend_by_flex(q: Tensor, k: Tensor, v: Tensor, window: int, *, compiled: bool = True) -> Tensor:
    """Position t reads (t − window, t] of equally many keys; shapes as in :func:`strawberry.mixers.softmax.attend`.

    FlexAttention, Dong et al. 2024, arXiv 2412.05496. Uncompiled it computes every pair, to be tested by.
    """
    attention = _compiled() if compiled else flex_attention
    mask = _mask(q.shape[1], window, q.device)
    grouped = k.shape[2] != q.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return attention(q, k, v, block_mask=mask, enable_gqa=grouped).transpose(1, 2)


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=False)


@cache
def _mask(seq: int, window: int, device: torch.device) -> BlockMask:
    def readable(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (query - key < window)

    return create_block_mask(readable, None, None, seq, seq, device=str(device))

"""The Retention Mechanism's linear and delta forms, written out token by token, for the tests to compare with."""

import math
from typing import Any

import torch
from torch import Tensor

import strawberry
from strawberry.norm import norm
from strawberry.retention.linear import LinearRetention
from strawberry.retention.mechanism import NAMES

FORMS = ("linear", "delta")


def model_of(pooling: str, **fields: Any) -> strawberry.Strawberry:
    return strawberry.build(strawberry.preset("strawberry-pico", pooling=pooling, chunk=6, **fields)).double()


def mechanism_of(pooling: str, **fields: Any) -> LinearRetention:
    fields = {"d_model": 12, "d_qkv": 8, "n_heads": 4, "n_kv_heads": 2, "mixer": "aft", **fields}
    retention = model_of(pooling, **fields).blocks[0].retention
    assert isinstance(retention, LinearRetention)
    return retention


def memories_by_hand(retention: LinearRetention, h: Tensor) -> list[Tensor]:
    """For one row h (seq, C): Y_t of every token, the sums and the rule written out one token after another."""
    config, memory, n = retention.config, h.new_zeros(h.shape[1], h.shape[1]), 0.0
    made = []
    for x in h:
        o, a = norm(x @ retention.w_original), norm(x @ retention.w_adjust)
        memory, n = config.decay * memory, config.decay * n + 1
        if config.pooling == "linear":
            memory = memory + torch.outer(o, a)
            made.append(memory / math.sqrt(n))
        else:
            # Of unit length but for the norm's epsilon, which is 1e-10 too.
            o, rate = o / math.sqrt(len(o)), (x @ retention.w_rate).sigmoid()
            memory = memory + rate * torch.outer(o, a - memory.T @ o)
            made.append(memory)
    return made


def matrices_by_hand(retention: LinearRetention, y: Tensor) -> dict[str, Tensor]:
    """Base plus generated weights, the latter cut out of (Y W_T)ᵀ as the chunked form's are."""
    config = retention.config
    c, d, qkv = config.d_model, config.d_qkv, config.d_qkv + 2 * config.d_kv
    generated = (y @ retention.w_transform).T
    parts = dict(zip(NAMES, generated.split([qkv, 2 * d, c]), strict=True))
    parts["swiglu"] = parts["swiglu"].T.reshape(2 * c, d)
    return {name: retention.base[name] + parts[name] for name in NAMES}

"""Linear attention is its definition, and agrees with the reference code of the field."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import elu
from torch.testing import assert_close

import strawberry
from strawberry.mixers.linear import LinearAttention, feature
from tests.oracles.loading import fla

HEADS, WIDTH = 4, 8


def mixed(seq: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v and what the mixer makes of them."""
    mixer = LinearAttention(strawberry.preset("gpt-pico", d_qkv=HEADS * WIDTH, n_heads=HEADS))
    q, k, v = torch.randn(3, 2, seq, HEADS, WIDTH, dtype=dtype)
    return q, k, v, mixer(q, k, v, v.flatten(2))[0]


def test_the_feature_is_elu_plus_one() -> None:
    x = torch.linspace(-8, 8, 101, dtype=torch.float64, requires_grad=True)
    assert_close(feature(x), elu(x) + 1)
    assert_close(*(torch.autograd.grad(f.sum(), x)[0] for f in (feature(x), elu(x) + 1)))
    # elu loses this in fp32: e⁻²⁰ − 1 is −1.
    assert feature(torch.tensor(-20.0)) > 0


@pytest.mark.parametrize("seq", [1, 5, 64, 65, 131])
def test_linear_attention_is_its_definition(seq: int) -> None:
    """Σ φ(q)·φ(k) v / Σ φ(q)·φ(k), summed token by token; fp64 to 1e-12."""
    q, k, v, y = mixed(seq)
    for t in range(seq):
        match = torch.einsum("bhd,bshd->bsh", elu(q[:, t]) + 1, elu(k[:, : t + 1]) + 1)
        expected = torch.einsum("bsh,bshd->bhd", match / match.sum(dim=1, keepdim=True), v[:, : t + 1])
        assert_close(y[:, t], expected, atol=1e-12, rtol=0)


@torch.no_grad()
def test_linear_attention_is_flas() -> None:
    """fla's naive forms, recurrent and chunkwise, on φ(q) and φ(k), normalised; fp32, 2e-5."""
    naive = fla("ops/linear_attn/naive.py")
    q, k, v, y = mixed(128, torch.float32)
    features = elu(q) + 1, elu(k) + 1
    assert_close(y, naive.naive_recurrent_linear_attn(*features, v, normalize=True)[0], atol=2e-5, rtol=0)
    assert_close(y, naive.naive_chunk_linear_attn(*features, v, normalize=True), atol=2e-5, rtol=0)

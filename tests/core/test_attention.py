"""Attention reads its window and nothing else, whichever way it is computed."""

import pytest
import torch
from torch.testing import assert_close

from strawberry.call import Call
from strawberry.mixers.flex import attend_by_flex
from strawberry.mixers.softmax import attend, attention_map, keys_read


@pytest.mark.parametrize("window", [0, 1, 3, 8, 40])
@pytest.mark.parametrize("seq", [1, 7, 64, 300, 517])
@pytest.mark.parametrize("before", [0, 2, 39, 50])
def test_windows_are_their_maps(window: int, seq: int, before: int) -> None:
    """By blocks, by mask or plain, with and without a cache, against the explicit map; fp64 to 1e-12."""
    q, k, v = torch.randn(3, 2, before + seq, 2, 4, dtype=torch.float64)
    expected = torch.einsum("bhts,bshd->bthd", attention_map(q, k, window), v)
    cache = attend(q[:, :before], k[:, :before], v[:, :before], window, None)[1] if before else None
    y, cache = attend(q[:, before:], k[:, before:], v[:, before:], window, cache)
    assert_close(y, expected[:, before:], atol=1e-12, rtol=0)
    assert cache.keys.shape[1] == (min(before + seq, window - 1) if window else before + seq)


def test_long_sequences_are_read_by_blocks() -> None:
    assert keys_read(517, 40) == 103
    assert keys_read(128, 40) == 128
    assert keys_read(517, 0) == 517


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_flex_attention_is_the_same_window(kv_heads: int) -> None:
    """The GPU's path, uncompiled, against the map; 1e-5 in fp32."""
    q = torch.randn(2, 40, 4, 16)
    k, v = torch.randn(2, 2, 40, kv_heads, 16)
    with torch.no_grad():
        y = attend_by_flex(q, k, v, 7, compiled=False)
        expected = torch.einsum("bhts,bshd->bthd", attention_map(q, k, 7), v.repeat_interleave(4 // kv_heads, dim=2))
    assert_close(y, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sinks", [0, 1, 3])
@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("before", [0, 2, 30])
def test_grouped_heads_and_sinks_are_their_maps(sinks: int, kv_heads: int, before: int) -> None:
    q = torch.randn(2, before + 20, 4, 4, dtype=torch.float64)
    k, v = torch.randn(2, 2, before + 20, kv_heads, 4, dtype=torch.float64)
    maps = attention_map(q, k, 6, sinks)
    assert (maps[0, 0, -1] > 0).sum() == 6 + sinks
    expected = torch.einsum("bhts,bshd->bthd", maps, v.repeat_interleave(4 // kv_heads, dim=2))
    cache = attend(q[:, :before], k[:, :before], v[:, :before], 6, None, Call(), sinks)[1] if before else None
    y, _ = attend(q[:, before:], k[:, before:], v[:, before:], 6, cache, Call(before), sinks)
    assert_close(y, expected[:, before:], atol=1e-12, rtol=0)

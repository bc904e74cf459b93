"""Attention reads its window and nothing else, whichever way it is computed."""

import pytest
import torch
from torch.testing import assert_close

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

"""Batches: an order that only counters decide, targets one token ahead, and every token scored once."""

import numpy as np
import pytest
import torch

from strawberry.config import Config
from strawberry.data import TextDataset, Tokenizer
from strawberry.data.text import positions
from strawberry.errors import DataError


@pytest.fixture
def dataset() -> TextDataset:
    """Tokens that tell their own place, so that a row shows where it starts."""
    tokenizer = Tokenizer.train("bytes", [], 256)
    return TextDataset(
        "places", "0", tokenizer, np.arange(1000, dtype="<u2"), np.arange(2000, 2100, dtype="<u2"), 1.0, 1, 1
    )


def test_targets_are_one_token_ahead(dataset, config):
    tokens, targets = dataset.batch("train", 0, config)
    for tensor in (tokens, targets):
        assert tensor.shape == (4, 8)
        assert tensor.dtype == torch.int64
        assert tensor.is_contiguous()
    assert torch.equal(targets, tokens + 1)
    assert torch.equal(tokens, tokens[:, :1] + torch.arange(8))


def test_a_batch_depends_on_its_counters_alone(dataset, config):
    def batch(split="train", step=3, micro=1, **changes):
        return dataset.batch(split, step, config.replace(**changes), micro)[0]

    first = batch()
    batch("validation")
    assert torch.equal(batch(), first)
    assert torch.equal(batch(batch_size=2), first[:2])
    assert torch.equal(batch(seq_len=6)[:, 0] < 995, torch.ones(4, dtype=torch.bool))
    others = [batch(step=4), batch(micro=2), batch(seed=1), batch(seed=2**63), batch("validation") - 2000]
    assert not [other for other in others if torch.equal(other, first)]
    assert torch.equal(batch("validation"), batch("validation", seed=9)), "every run is validated on the same text"


def test_steps_micro_batches_and_rows_do_not_repeat_each_other():
    draws = [positions(1 << 60, 8, 0, 0, step, micro) for step in range(20) for micro in range(20)]
    assert len(np.unique(np.concatenate(draws))) == 20 * 20 * 8


def test_the_order_is_frozen():
    # Another order would continue interrupted runs on other text than before.
    first = positions(1_000_000, 4, seed=0, split=0, step=0, micro=0)
    assert first.tolist() == [967259, 625458, 205049, 414556]
    later = positions(1_000_000, 4, seed=7, split=1, step=2, micro=3)
    assert later.tolist() == [703940, 865718, 740253, 334269]


def test_every_place_is_drawn_and_about_equally_often():
    draws = np.concatenate([positions(20, 64, 0, 0, step, 0) for step in range(200)])
    counts = np.bincount(draws, minlength=20)
    assert len(counts) == 20
    expected = len(draws) / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8, "chi-squared with 19 degrees of freedom, p = 0.001"


def test_a_split_of_one_row_has_one_place(dataset):
    config = Config(seq_len=99, batch_size=3)
    tokens, targets = dataset.batch("validation", 5, config)
    assert tokens[:, 0].tolist() == [2000] * 3
    assert targets[:, -1].tolist() == [2099] * 3
    with pytest.raises(DataError, match=r"needs 101 tokens, but its validation part has 100"):
        dataset.batch("validation", 0, Config(seq_len=100))
    with pytest.raises(DataError, match="train, validation"):
        dataset.batch("test", 0, config)


@pytest.mark.parametrize("seq_len", [1, 7, 8, 9, 98, 99, 100, 500])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_windows_score_every_token_but_the_first_once(dataset, seq_len, batch_size):
    scored = []
    for tokens, targets in dataset.windows("validation", seq_len, batch_size):
        assert tokens.shape == targets.shape
        assert tokens.shape[0] <= batch_size
        assert tokens.shape[1] <= seq_len
        assert tokens.dtype == targets.dtype == torch.int64
        assert torch.equal(tokens + 1, targets)
        scored += targets.flatten().tolist()
    assert scored == list(range(2001, 2100))

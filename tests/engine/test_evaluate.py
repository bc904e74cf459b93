"""Nats per token and bits per byte, equal to what they are defined as."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

import strawberry
from strawberry.config import Config
from strawberry.data import Dataset, load
from strawberry.evaluate import bits_per_byte, evaluate


@pytest.fixture(scope="module")
def dataset(tiny: Config, text_file: Path) -> Dataset:
    return load(text_file, tiny)


def test_a_uniform_guess_over_bytes_is_eight_bits() -> None:
    assert bits_per_byte(math.log(256), 1.0) == pytest.approx(8.0)
    assert bits_per_byte(math.log(256), 4.0) == pytest.approx(2.0)


def test_is_the_mean_over_the_batches(tiny: Config, dataset: Dataset) -> None:
    config = tiny.replace(precision="fp32")
    model = strawberry.build(config)
    losses = []
    for index in range(3):
        tokens, targets = dataset.batch("validation", index, config)
        losses.append(cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item())
    score = evaluate(model, dataset, config, batches=3)
    assert score.loss == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert score.bits_per_byte == pytest.approx(score.loss / math.log(2) / dataset.bytes_per_token)
    assert score.tokens == 3 * config.batch_size * config.seq_len


def test_reads_the_whole_split_once(tiny: Config, dataset: Dataset) -> None:
    score = evaluate(strawberry.build(tiny), dataset, tiny, batches=None)
    assert score.tokens == dataset.tokens_validation - 1


def test_leaves_no_trace(tiny: Config, dataset: Dataset) -> None:
    model = strawberry.build(tiny)
    before, state = {name: w.clone() for name, w in model.state_dict().items()}, torch.random.get_rng_state()
    first = evaluate(model, dataset, tiny, batches=2)
    assert evaluate(model, dataset, tiny, batches=2) == first
    assert model.training
    assert all(param.grad is None for param in model.parameters())
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())

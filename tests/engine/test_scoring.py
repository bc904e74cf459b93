"""Targets of -100 count nowhere: not in the loss, not in what halting learns from, not in an evaluation."""

import numpy as np
import pytest
import torch

import strawberry
from strawberry.data import IGNORED, load
from strawberry.evaluate import Score, evaluate
from strawberry.scoring import mean_scored, nats

FAMILIES = ("strawberry", "gpt", "mor", "homunculus")


def model_of(family: str, **fields) -> strawberry.Strawberry:
    return strawberry.build(strawberry.preset(f"{family}-pico", seq_len=16, **fields)).eval()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    tokens, targets = torch.randint(500, (2, 3, 16))
    targets[:, ::3] = IGNORED
    targets[1] = IGNORED
    return tokens, targets


def test_the_mean_is_over_scored_targets(batch):
    logits, targets = torch.randn(3, 16, 500), batch[1]
    each = nats(logits, targets)
    kept = targets != IGNORED
    assert mean_scored(each, targets) == pytest.approx(each[kept].mean().item())
    assert each[~kept].abs().max() == 0
    stacked = torch.stack([each, 2 * each])
    assert mean_scored(stacked, targets) == pytest.approx(1.5 * each[kept].mean().item())
    assert mean_scored(each, torch.full_like(targets, IGNORED)) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_the_scored_targets(family: str, batch):
    model, (tokens, targets) = model_of(family), batch
    kept = targets != IGNORED
    by_hand = nats(model(tokens), targets)[kept].mean()
    assert model.loss(tokens, targets).cross_entropy.item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize(
    "fields",
    [{"halting": "confidence"}, {"halting": "distribution"}, {"halting": "distribution", "halting_prior": "geometric"}],
)
def test_halting_learns_from_scored_targets_alone(fields: dict[str, str], batch):
    model, (tokens, targets) = model_of("homunculus", **fields), batch
    # A row of which nothing is scored changes nothing, whatever it holds.
    with_it, without = model.loss(tokens, targets), model.loss(tokens[[0, 2]], targets[[0, 2]])
    for name in ("total", "cross_entropy", "halting"):
        assert getattr(with_it, name).item() == pytest.approx(getattr(without, name).item(), rel=1e-5), name


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_learned_from_unscored_targets(family: str, batch):
    model, (tokens, targets) = model_of(family), batch
    model.loss(tokens, torch.full_like(targets, IGNORED)).cross_entropy.backward()
    assert all(param.grad is None or not param.grad.any() for param in model.parameters())


def test_an_evaluation_counts_right_answers():
    config = strawberry.preset("gpt-pico", seq_len=32, batch_size=8, precision="fp32")
    dataset, model = load("mqar:pairs=4", config), strawberry.build(config)
    score = evaluate(model, dataset, config, batches=2)
    right = count = 0
    losses = []
    for index in range(2):
        tokens, targets = dataset.batch("validation", index, config)
        kept = targets != IGNORED
        logits = model.eval()(tokens)
        right += (logits.argmax(-1)[kept] == targets[kept]).sum().item()
        count += kept.sum().item()
        losses.append(nats(logits, targets).sum(dim=1) / kept.sum(dim=1))
    rows = torch.cat(losses).double()
    assert score.accuracy == right / count
    assert score.tokens == count == 2 * 8 * 4
    assert score.loss == pytest.approx(rows.mean().item(), rel=1e-6)
    assert score.error == pytest.approx((rows.std() / len(rows) ** 0.5).item(), rel=1e-6)
    assert (score.bits_per_byte, score.floor, score.impossible) == (None, None, False)
    assert evaluate(model, dataset, config, batches=None).tokens == 4 * dataset.tokens_validation // 32


def test_the_alarm_needs_four_errors_and_ten_nats():
    def score(below: float, tokens: int, gap_error: float | None) -> Score:
        return Score(1.0 - below, None, tokens, None, 1.0, 0.5, gap_error)

    assert score(0.1, 1000, 0.02).impossible
    assert not score(0.1, 1000, 0.03).impossible
    assert not score(0.1, 90, 0.02).impossible
    assert not score(-0.1, 1000, 0.0).impossible
    assert score(0.1, 1000, None).impossible
    assert "below the entropy of this data, 1.0000" in score(0.1, 1000, 0.02).alarm


def test_an_honest_model_does_not_ring_and_one_that_knows_a_little_too_much_does():
    generator = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.15, 0.05])
    rows, length, rung = 64, 32, {"honest": 0, "cheat": 0}
    for _ in range(1000):
        text = generator.choice(4, size=(rows, length), p=p)
        exact = -np.log(p)[text]
        q = generator.dirichlet(200 * p, size=rows)  # nearly right, each row in its own way
        losses = {"honest": -np.log(np.take_along_axis(q, text, axis=1))}
        # One token in twenty is known beforehand.
        losses["cheat"] = np.where(generator.random(text.shape) < 0.05, 0.0, exact)
        for name, loss in losses.items():
            gaps = (loss - exact).mean(axis=1)
            score = Score(
                loss.mean(), None, text.size, None, exact.mean(), 0.0, gaps.std(ddof=1) / rows**0.5
            )  # fmt: skip
            rung[name] += score.impossible
    assert rung == {"honest": 0, "cheat": 1000}

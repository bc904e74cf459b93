"""Confidence against its target, and thresholds that keep a promise: known answers, then real models."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

import strawberry
from lab.measure.calibration import (
    Calibration,
    CalibrationError,
    adaptive,
    binned,
    calibration,
    threshold_for,
)
from strawberry.errors import StrawberryError
from strawberry.recursion.exits import EXITS


def batches(count: int = 2, rows: int = 3) -> list[tuple[Tensor, Tensor]]:
    tokens = torch.randint(0, 512, (count, rows, 17), generator=torch.Generator().manual_seed(5))
    return [(row[:, :-1], row[:, 1:]) for row in tokens]


def thinker(spread: float = 1.0, **fields: object) -> strawberry.Strawberry:
    """An untrained model whose halting head says now this, now that."""
    model = strawberry.build(strawberry.preset("homunculus-pico", **fields))
    assert model.halt is not None
    torch.nn.init.normal_(model.halt.weight, 0, spread, generator=torch.Generator().manual_seed(3))
    return model


def test_a_true_confidence_has_no_error():
    sure = np.random.default_rng(0).uniform(0, 1, (2, 300))
    assert binned(sure, sure, 6.0).error() == pytest.approx(0, abs=1e-12)


def test_a_confidence_that_is_always_too_high_has_that_as_its_error():
    sure = np.random.default_rng(0).uniform(0.2, 1, (2, 300))
    found = binned(sure, sure - np.array([[0.2], [0.1]]), 6.0)
    assert [found.error(0), found.error(1), found.error()] == pytest.approx([0.2, 0.1, 0.15])


def test_bins_hold_what_lies_in_them_and_passes_are_merged_by_weight():
    found = binned(
        np.array([[0.05, 0.06, 1.0], [0.05, 0.5, 0.5]]), np.array([[0.0, 0.3, 1.0], [0.6, 0.4, 0.2]]), 6.0, 4
    )
    assert found.counts.tolist() == [[2, 0, 0, 1], [1, 0, 2, 0]]
    np.testing.assert_allclose(found.target, [[0.15, np.nan, np.nan, 1], [0.6, np.nan, 0.3, np.nan]])
    np.testing.assert_allclose(found.all.target, [[0.3, np.nan, 0.3, 1]])
    np.testing.assert_allclose(found.all.confidence, [[0.16 / 3, np.nan, 0.5, 1]])
    assert found.error() == pytest.approx((3 * (0.3 - 0.16 / 3) + 2 * 0.2) / 6)


def test_a_calibration_survives_json():
    found = binned(np.array([[0.1, 0.9]]), np.array([[0.2, 0.8]]), 6.0)
    again = Calibration.from_dict(found.to_dict())
    for name in ("counts", "confidence", "target"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_a_head_that_always_says_the_same_is_off_by_its_distance_from_the_mean_target():
    model = thinker(spread=0.0).train()
    assert model.halt is not None
    torch.nn.init.constant_(model.halt.bias, math.log(0.3 / 0.7))
    found = calibration(model, batches(), passes=3)
    assert model.training
    assert found.counts.sum(axis=1).tolist() == [96, 96, 96]
    for step in range(3):
        losses = [
            cross_entropy(model(tokens, loops=step + 1).flatten(0, 1), targets.flatten(), reduction="none")
            for tokens, targets in batches()
        ]
        target = (1 - torch.cat(losses) / 6).clamp(0, 1).mean().item()
        assert found.error(step) == pytest.approx(abs(0.3 - target), abs=1e-5)


@pytest.mark.parametrize("name", ["gpt-pico", "mor-pico"])
def test_only_a_confidence_can_be_calibrated(name: str) -> None:
    with pytest.raises(CalibrationError, match="learns a confidence"):
        calibration(strawberry.build(strawberry.preset(name)), batches())
    with pytest.raises(CalibrationError, match="learns a confidence"):
        calibration(thinker(halting="distribution"), batches())
    with pytest.raises(CalibrationError, match="no batches"):
        calibration(thinker(), [])


class Pretender(torch.nn.Module):
    """Knows every answer with logit ``sharp``, but only ``half`` as well for those that stop early: below 0.37."""

    def __init__(self, sharp: float = 6.0, half: float = 4.0) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.sharp, self.half, self.config = sharp, half, SimpleNamespace(loops=4)
        self.asked: list[float] = []

    def think(self, tokens: Tensor, rule: str, threshold: float, most: int | None) -> SimpleNamespace:
        early = rule != "fixed" and threshold <= 0.37
        self.asked.append(threshold)
        logits = one_hot(tokens, 512).double() * (self.half if early else self.sharp)
        return SimpleNamespace(logits=logits, passes=torch.full(tokens.shape, 1 if early else 3))


def test_the_threshold_is_found_where_the_loss_gives_way():
    model, same = Pretender(), [(tokens, tokens) for tokens, _ in batches()]
    found = threshold_for(model, same, 0.01, tries=12)
    assert 0.37 < found.chosen.threshold < 0.37 + 1 / 2**10
    assert (found.chosen.passes, found.chosen.increase) == (3, 0)
    assert found.most == 4 and found.tokens == 96
    assert [trial.threshold for trial in found.trials] == sorted(trial.threshold for trial in found.trials)
    at_once = math.log(1 + 511 * math.exp(-4)) / math.log(1 + 511 * math.exp(-6)) - 1
    assert found.trials[0].increase == pytest.approx(at_once)


def test_where_the_first_pass_is_good_enough_one_look_is_enough():
    model, same = Pretender(half=6.0), [(tokens, tokens) for tokens, _ in batches()]
    found = threshold_for(model, same, 0.0)
    assert (found.chosen.threshold, found.chosen.passes) == (0, 1)
    assert len(model.asked) == 2 * 2


def test_where_nothing_keeps_the_promise_nobody_stops():
    model = Pretender()
    model.think = lambda tokens, rule, threshold, most: SimpleNamespace(  # type: ignore[method-assign]
        logits=one_hot(tokens, 512).double() * (6.0 if rule == "fixed" else 4.0), passes=torch.ones_like(tokens)
    )
    found = threshold_for(model, [(tokens, tokens) for tokens, _ in batches()], 0.01, tries=5)
    assert found.chosen.threshold == math.inf
    assert (found.chosen.passes, found.chosen.increase) == (4, 0)
    assert len(found.trials) == 6


def test_time_runs_out_after_the_first_comparison():
    found = threshold_for(Pretender(), [(tokens, tokens) for tokens, _ in batches()], 0.01, seconds=0)
    assert found.chosen.threshold == math.inf
    assert len(found.trials) == 1


@pytest.mark.parametrize("rule", EXITS)
def test_real_models_keep_what_was_promised(rule: str) -> None:
    model = thinker().double().train()
    found = threshold_for(model, batches(), 0.001, rule=rule, most=5, tries=6)
    assert model.training
    again = adaptive(model, batches(), rule, found.chosen.threshold, 5, found.full)
    assert (again.passes, again.loss) == (found.chosen.passes, found.chosen.loss)
    assert again.increase <= 0.001
    with torch.no_grad():
        losses = [
            cross_entropy(model(tokens, loops=5).flatten(0, 1), targets.flatten()) for tokens, targets in batches()
        ]
    assert found.full == pytest.approx(torch.stack(losses).mean().item())
    assert len({trial.threshold for trial in found.trials}) == len(found.trials)


def test_a_model_that_changes_nothing_after_the_first_pass_stops_there():
    """Where all that a pass adds is 0, one pass is as good as any."""
    model = thinker().double()
    with torch.no_grad():
        for weight in model.layers.parameters():
            weight.zero_()
    found = threshold_for(model, batches(), 0.0)
    assert (found.chosen.passes, found.chosen.increase) == (1, 0)


def test_what_cannot_be_promised_or_measured_is_refused():
    with pytest.raises(CalibrationError, match="0 or more"):
        threshold_for(thinker(), batches(), -0.1)
    with pytest.raises(CalibrationError, match="no batches"):
        threshold_for(thinker(), [])
    with pytest.raises(StrawberryError, match="the rules are"):
        threshold_for(thinker(), batches(), rule="whim")
    with pytest.raises(StrawberryError, match="recursion all"):
        threshold_for(strawberry.build(strawberry.preset("mor-pico")), batches(), rule="gap")

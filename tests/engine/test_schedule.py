"""The learning rate warms up, stays, and cools down along a cosine, or falls in steps."""

import math

import pytest
import torch

import strawberry
from strawberry.optim import learning_rate, muon_momentum

CONFIG = strawberry.preset("gpt-pico", learning_rate=1.0, min_lr=0.1, warmup_steps=4, cooldown_frac=0.5)


def test_warms_up_in_equal_steps() -> None:
    rates = [learning_rate(step, 100, CONFIG) for step in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_is_constant_then_a_cosine_to_the_lowest() -> None:
    assert learning_rate(49, 100, CONFIG) == 1.0
    for step in range(50, 100):
        wanted = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 50) / 50))
        assert learning_rate(step, 100, CONFIG) == pytest.approx(wanted)
    assert learning_rate(100, 100, CONFIG) == pytest.approx(0.1)
    assert learning_rate(1000, 100, CONFIG) == pytest.approx(0.1)


@pytest.mark.parametrize("changes", [{"decay_lr": False}, {"cooldown_frac": 0.0}])
def test_may_stay_constant(changes: dict[str, object]) -> None:
    config = CONFIG.replace(**changes)
    assert {learning_rate(step, 100, config) for step in range(4, 100)} == {1.0}


def test_a_warm_up_longer_than_the_run_never_lifts_the_cool_down() -> None:
    config = CONFIG.replace(warmup_steps=1000, cooldown_frac=1.0, min_lr=0.0)
    rates = [learning_rate(step, 10, config) for step in range(10)]
    assert max(rates) < 0.01


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_rate(steps: int) -> None:
    assert all(0 < learning_rate(step, steps, CONFIG) <= 1 for step in range(steps))


STEPPED = CONFIG.replace(schedule="step", step_size=7, step_gamma=0.3)


def test_falls_in_steps_as_torch_does() -> None:
    """torch.optim.lr_scheduler.StepLR over 30 steps, whatever the cosine's own settings are."""
    for config in (STEPPED, STEPPED.replace(cooldown_frac=1.0, min_lr=0.5), STEPPED.replace(cooldown_frac=0.0)):
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], config.learning_rate)
        falls = torch.optim.lr_scheduler.StepLR(optimizer, config.step_size, config.step_gamma)
        for step in range(30):
            if step >= config.warmup_steps:
                assert learning_rate(step, 10, config) == pytest.approx(optimizer.param_groups[0]["lr"])
            optimizer.step()
            falls.step()


def test_steps_come_after_the_same_warm_up() -> None:
    for step in range(4):
        assert learning_rate(step, 100, STEPPED) == learning_rate(step, 100, CONFIG)
    assert learning_rate(4, 100, STEPPED) == learning_rate(6, 100, STEPPED) == 1.0
    longer = STEPPED.replace(warmup_steps=20)
    assert [learning_rate(step, 100, longer) for step in (0, 13, 14)] == pytest.approx([1 / 21, 0.3, 0.09])


def test_steps_too_may_be_left_out() -> None:
    assert {learning_rate(step, 100, STEPPED.replace(decay_lr=False)) for step in range(4, 100)} == {1.0}


def test_momentum_rises_over_300_steps() -> None:
    assert muon_momentum(0, 0.95) == 0.85
    assert muon_momentum(150, 0.95) == pytest.approx(0.9)
    assert muon_momentum(300, 0.95) == muon_momentum(9999, 0.95) == 0.95
    assert muon_momentum(0, 0.5) == muon_momentum(300, 0.5) == 0.5

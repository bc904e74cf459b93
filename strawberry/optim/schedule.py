"""The learning rate and Muon's momentum as pure functions of the step."""

import math

from strawberry.config import Config

MOMENTUM_START = 0.85
MOMENTUM_STEPS = 300


def learning_rate(step: int, steps: int, config: Config) -> float:
    """The learning rate of step ``step`` (the first is 0) of ``steps``.

    Linear warm-up ``(step + 1) / (warmup_steps + 1)`` first. Then, with ``schedule="cosine"``, constant, and a cosine
    from ``learning_rate`` down to ``min_lr`` over the last ``cooldown_frac`` of the steps; the last step is the last
    point above ``min_lr``, and whatever follows ``steps`` stays at ``min_lr``. With ``schedule="step"``,
    ``learning_rate · step_gamma^⌊step / step_size⌋``, as ``torch.optim.lr_scheduler.StepLR`` counts it, whatever
    ``steps``, ``min_lr`` and ``cooldown_frac`` are. With ``decay_lr`` off it is constant after the warm-up.
    """
    rate = config.learning_rate
    if config.decay_lr and config.schedule == "step":
        rate *= config.step_gamma ** (step // config.step_size)
    elif config.decay_lr and config.cooldown_frac > 0:
        length = config.cooldown_frac * steps
        done = min(max((step - (steps - length)) / length, 0.0), 1.0) if length else 1.0
        rate = config.min_lr + (rate - config.min_lr) * 0.5 * (1.0 + math.cos(math.pi * done))
    if step < config.warmup_steps:
        # The lower of the two, so that a long warm-up never lifts the cool-down.
        rate = min(rate, config.learning_rate * (step + 1) / (config.warmup_steps + 1))
    return rate


def muon_momentum(step: int, target: float) -> float:
    """Muon's momentum: from 0.85 (or ``target``, if lower) in a line to ``target`` over 300 steps."""
    start = min(MOMENTUM_START, target)
    return start + (target - start) * min(step / MOMENTUM_STEPS, 1.0)

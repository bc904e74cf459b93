"""Matched budgets: equal parameters by the width of the feed-forward layers, or equal FLOPs by the number of steps.

FLOPs are those of :func:`strawberry.estimate`: matrix products of a forward pass, two per multiply-add, attention
counted in full (its causal half is not taken off), times three for training. torch's own counter agrees to 6 % for
every family, to 3 % for all but strawberry-shared, whose backward pass needs less than twice its forward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from lab.ablate.study import Study, StudyError
from strawberry.config import Config
from strawberry.cost import Estimate, estimate

TOLERANCE = 0.01  # by how much two budgets that count as equal may differ
LEFT_ALONE = 0.005  # a variant whose parameters differ by no more keeps its widths


@dataclass(frozen=True)
class Matched:
    """A variant on a data set with its share of the budget.

    parameters, active_parameters, state_size: of the model, see :class:`strawberry.Estimate`. tokens, flops: of one
    whole training. rule: one sentence that says what was changed to match, and how near it came.
    """

    config: Config
    steps: int
    parameters: int
    active_parameters: int
    tokens: int
    flops: int
    decode_flops: int
    state_size: int
    rule: str


def matched(study: Study) -> dict[tuple[str, str], Matched]:
    """Each (variant, data) with a budget equal to that of the study's reference on the same data.

    Raises :class:`StudyError` where a variant cannot be brought within :data:`TOLERANCE`.
    """
    found = {}
    for variant, data in study.pairs:
        found[variant, data] = _MATCHERS[study.equal](study, variant, data)
    return found


def _by_steps(study: Study, variant: str, data: str) -> Matched:
    return _made(study.config(variant, data), study.steps_of(data), "The same number of steps, nothing else.")


def _by_parameters(study: Study, variant: str, data: str) -> Matched:
    target = _cost(study.config(study.reference, data)).parameters
    config, steps = study.config(variant, data), study.steps_of(data)
    if variant == study.reference:
        return _made(config, steps, f"The reference: {target:,} parameters.")
    if abs(_cost(config).parameters / target - 1) <= LEFT_ALONE:
        return _made(config, steps, f"As it is: {_cost(config).parameters:,} parameters, the reference {target:,}.")
    if "d_ff" in study.variants[variant]:
        raise StudyError(
            f"variant {variant!r} sets d_ff, which is what makes parameters equal; leave it out, or take equal = "
            '"flops" or "steps"'
        )
    width = _nearest(lambda d_ff: _cost(config.replace(d_ff=d_ff)).parameters, target)
    chosen = config.replace(d_ff=width)
    count = _cost(chosen).parameters
    gap = count / target - 1
    if abs(gap) > TOLERANCE:
        raise StudyError(
            f"variant {variant!r} cannot have the {target:,} parameters of {study.reference!r} on {data}: with d_ff "
            f"{width} it has {count:,}; change its n_layers or d_model, or the reference's"
        )
    return _made(
        chosen,
        steps,
        f"d_ff from {config.d_ff} to {width}: {count:,} parameters, reference {target:,} ({gap:+.2%}).",
    )


def _by_flops(study: Study, variant: str, data: str) -> Matched:
    reference = _made(study.config(study.reference, data), study.steps_of(data), "")
    config = study.config(variant, data)
    if variant == study.reference:
        return _made(config, reference.steps, f"The reference: {reference.flops:.4g} FLOPs of training.")
    each = _cost(config).flops_per_token * _tokens(config)
    steps = max(1, round(reference.flops / each))
    gap = steps * each / reference.flops - 1
    if abs(gap) > TOLERANCE:
        raise StudyError(
            f"variant {variant!r} cannot have the {reference.flops:.3g} FLOPs of {study.reference!r} on {data}: "
            f"{steps} steps come to {gap:+.1%}; give the study more steps"
        )
    return _made(
        config, steps, f"{steps} steps instead of {reference.steps}: the same FLOPs of training as the reference "
        f"({gap:+.2%}).",
    )  # fmt: skip


_MATCHERS = {"steps": _by_steps, "parameters": _by_parameters, "flops": _by_flops}


def _made(config: Config, steps: int, rule: str) -> Matched:
    cost, tokens = _cost(config), steps * _tokens(config)
    return Matched(
        config, steps, cost.parameters, cost.active_parameters, tokens, tokens * cost.flops_per_token,
        cost.forward_flops_per_token, cost.state_size, rule,
    )  # fmt: skip


def _tokens(config: Config) -> int:
    """Tokens of one step."""
    return config.batch_size * config.seq_len * config.grad_accum


@cache
def _cost(config: Config) -> Estimate:
    return estimate(config)


def _nearest(count: Callable[[int], int], target: int) -> int:
    """The width whose count comes nearest to ``target``; counts grow with the width in equal steps."""
    first = count(1)
    below = max(1, 1 + (target - first) // (count(2) - first))
    return min((below, below + 1), key=lambda width: abs(count(width) - target))

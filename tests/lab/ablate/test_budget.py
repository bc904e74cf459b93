"""Budgets come out equal, by the rule that they state, and FLOPs are those that torch counts."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import strawberry
from lab.ablate.budget import TOLERANCE, matched
from lab.ablate.study import Study, StudyError

VARIANTS = {
    "attention": {"mixer": "softmax"},
    "aft": {"mixer": "aft"},
    "loops": {"loops": 3},
    "retention": {"mixer": "retention"},
    "strawberry": {"preset": "strawberry-pico"},
    "deep": {"n_layers": 5},
}


def study(**changes: Any) -> Study:
    given: dict[str, Any] = {
        "name": "budget", "question": "Are they equal?", "base": {"preset": "gpt-pico"}, "data": ["sotu"],
        "variants": VARIANTS, "steps": 200,
    }  # fmt: skip
    return Study(**{**given, **changes})


def test_equal_parameters_by_d_ff() -> None:
    found = matched(study(equal="parameters", data={"sotu": {}, "python": {"vocab_size": 1024}}))
    for data in ("sotu", "python"):
        target = found["attention", data].parameters
        for variant in VARIANTS:
            one = found[variant, data]
            assert one.parameters == pytest.approx(target, rel=TOLERANCE)
            assert one.parameters == sum(p.numel() for p in strawberry.build(one.config).parameters())
            assert one.steps == 200 and one.tokens == 200 * 8 * 64
    assert found["attention", "sotu"].rule.startswith("The reference: ")
    assert found["aft", "sotu"].config.d_ff == 96 and found["aft", "sotu"].rule.startswith("As it is")
    deep = found["deep", "sotu"]
    assert deep.config.d_ff < 96 and deep.rule.startswith(f"d_ff from 96 to {deep.config.d_ff}: ")
    assert found["attention", "python"].parameters > found["attention", "sotu"].parameters


def test_equal_flops_by_steps() -> None:
    found = matched(study(equal="flops"))
    target = found["attention", "sotu"].flops
    for one in found.values():
        assert one.flops == pytest.approx(target, rel=TOLERANCE)
        assert one.flops == one.steps * 8 * 64 * strawberry.estimate(one.config).flops_per_token
    assert found["loops", "sotu"].steps < 200
    assert f"{found['loops', 'sotu'].steps} steps instead of 200" in found["loops", "sotu"].rule
    assert found["loops", "sotu"].config.d_ff == 96


def test_equal_steps_changes_nothing() -> None:
    found = matched(study(equal="steps"))
    assert {one.steps for one in found.values()} == {200}
    assert found["deep", "sotu"].config.n_layers == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variants": {"attention": {}, "wide": {"d_ff": 200}}}, "variant 'wide' sets d_ff"),
        ({"variants": {"attention": {}, "huge": {"n_layers": 12}}}, "variant 'huge' cannot have the"),
        ({"equal": "flops", "steps": 3}, "give the study more steps"),
    ],
)
def test_what_cannot_be_matched_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        matched(study(**changes))


@pytest.mark.parametrize("family", strawberry.families())
def test_training_flops_are_those_counted(family: str) -> None:
    """torch's counter over forward and backward pass agrees to 6 % with three times the formula's forward pass.

    By convention attention counts in full, so torch is made to take the plain form. A gradient that nobody needs, such
    as that of the tokens' embeddings in the making of weights, is not counted: strawberry-shared comes to 0.946.
    """
    config = strawberry.preset(f"{family}-pico", batch_size=2)
    model, tokens = strawberry.build(config), torch.randint(0, 512, (2, config.seq_len))
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        model.loss(tokens, tokens).total.backward()
    estimated = strawberry.estimate(config).flops_per_token * tokens.numel()
    assert counter.get_total_flops() == pytest.approx(estimated, rel=0.06)

"""The leak check lights up for expert choice that looks at the whole sequence, and for no other form of recursion."""

from typing import Any

import pytest

import strawberry
from lab import causality
from strawberry.__main__ import main

EXPERT = {"family": "mor", "recursion": "expert-choice"}
FAIR: list[dict[str, Any]] = [
    {"family": "mor"},
    {"family": "mor", "depth_cache": "first"},
    {"family": "mor", "mixer": "aft"},
    EXPERT,
    {**EXPERT, "depth_cache": "first"},
    {"family": "homunculus"},
    {"family": "homunculus", "halting": "distribution", "halting_prior": "geometric"},
    {"family": "homunculus", "depth": "random", "think_above": 4.0},
    {"family": "gpt", "loops": 3, "depth": "random", "backprop_loops": 1},
    *({"family": family, "n_layers": 4, "loops": 3, "sharing": sharing}
      for family in ("gpt", "strawberry", "strawberry-shared") for sharing in ("sequence", "middle-cycle")),
]  # fmt: skip


def judged(fields: dict[str, Any]) -> causality.Verdict:
    given = dict(fields)
    return causality.verdict(strawberry.preset(f"{given.pop('family')}-pico", **given))


@pytest.mark.parametrize("fields", FAIR, ids=str)
def test_clears(fields: dict[str, Any]) -> None:
    found = judged(fields)
    assert found.causal and found.autograd_ok
    assert max(found.worst_earlier_change, found.worst_other_row_change) < 1e-12


@pytest.mark.parametrize("cache", ["active", "first"])
def test_catches_expert_choice_without_its_auxiliary_router(cache: str) -> None:
    found = judged({**EXPERT, "auxiliary": False, "depth_cache": cache})
    assert not found.causal
    # It reads its own row only; a choice has no gradient, but it moves the outputs of earlier tokens.
    assert found.worst_earlier_change > 1e-3 > found.worst_other_row_change
    assert "earlier logits" in found.sentence


@pytest.mark.parametrize(("auxiliary", "code"), [("false", 1), ("true", 0)])
def test_from_the_command_line(auxiliary: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaks", "mor", "--recursion", "expert-choice", "--auxiliary", auxiliary]) == code
    assert ("LEAKS" in capsys.readouterr().out) == bool(code)

"""Events survive JSON, one per line."""

import dataclasses
import json
import math

import pytest

from strawberry.events import KINDS, Evaluated, Event, Finished, Sampled, Saved, Started, Step, Warned

EXAMPLES = [
    Started(0, 10, {"seed": 0}, 5, "sotu", 100, 3.2, 64, "cpu", "bf16", True),
    Step(1, 5.1, 5.2, 0.01, 0.3, 64, 1000.0, 0.064, {"layers.0.feedforward.router": [0.5, 0.5]}),
    Evaluated(1, 5.0, 2.1, None),
    Sampled(1, "The", " state\u2028of\nthe \N{STRAWBERRY} NaN"),
    Saved(1, "checkpoints/step-1"),
    Warned("something to know", 1),
    Finished(1, "done"),
]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.event)
def test_comes_back_from_json(event: Event) -> None:
    line = event.to_line()
    assert line.count("\n") == 1
    assert json.loads(line)["event"] == event.event
    assert Event.from_line(line) == event
    assert Event.from_dict(event.to_dict()) == event


def test_every_kind_has_an_example() -> None:
    assert {event.event for event in EXAMPLES} == set(KINDS)


def test_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXAMPLES[-1].step = 3  # type: ignore[attr-defined]


def test_text_that_looks_like_a_number_stays_text() -> None:
    assert Event.from_line(Sampled(1, "", "NaN").to_line()) == Sampled(1, "", "NaN")


def test_numbers_that_are_not_finite_are_json_all_the_same() -> None:
    line = Evaluated(1, float("inf"), float("nan"), 1.0).to_line()
    json.loads(line, parse_constant=lambda name: pytest.fail(f"bare {name} is not JSON"))
    back = Event.from_line(line)
    assert isinstance(back, Evaluated)
    assert back.loss == float("inf")
    assert math.isnan(back.bits_per_byte)


def test_floats_keep_every_bit() -> None:
    event = Evaluated(1, 0.1 + 0.2, 1 / 3, 2.0**-1074)
    assert Event.from_line(event.to_line()) == event


def test_a_later_versions_keys_are_passed_over() -> None:
    assert Event.from_dict({"event": "finished", "step": 1, "reason": "done", "mood": "good"}) == Finished(1, "done")


@pytest.mark.parametrize(
    ("line", "match"),
    [("[]", "object"), ("{}", "unknown event"), ('{"event": "step"}', "lacks step, loss"), ("{", "Expecting")],
)
def test_what_is_no_event_is_refused(line: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Event.from_line(line)

"""Leaks: a family, a run or one's own code is judged, in words, in numbers and in maps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import strawberry
from lab import own
from lab.app.leaks import fields_of
from lab.causality import verdict
from strawberry.errors import ConfigError, StrawberryError

Draw = Callable[..., Any]


def test_it_opens_on_a_verdict_with_its_maps(draw: Draw) -> None:
    app = draw("leaks").whole()
    assert "is causal" in app.success[0].value
    assert len(app.figures) == 3
    assert {metric.value for metric in app.metric} == {"nothing"}
    assert app.said.count("*A leak:*") == 3
    assert app.selectbox(key="leak-family").options == list(strawberry.families())


@pytest.mark.parametrize(
    ("family", "fields", "leaks"),
    [
        ("strawberry-leaky", "", True),
        ("mor", "recursion=expert-choice auxiliary=false", True),
        ("mor", "recursion=expert-choice", False),
        ("gpt", "loops=2, mixer=window", False),
    ],
)
def test_what_leaks_lights_up_and_nothing_else(draw: Draw, family: str, fields: str, leaks: bool) -> None:
    app = draw("leaks", **{"leak-family": family, "leak-fields": fields}).whole()
    assert bool(app.warning) == leaks
    assert bool(app.success) != leaks
    assert ("LEAKS" in app.said) == leaks


def test_an_example_is_one_press_away(draw: Draw) -> None:
    app = draw("leaks")
    app.button(key="example-Expert choice, no auxiliary router").click().run()
    assert "LEAKS" in app.whole().said
    # A choice has no gradient: the maps disagree, and that is what there is to see.
    values = {metric.label: metric.value for metric in app.metric}
    assert values["Gradient of the future"] == "nothing" != values["Earlier outputs moved by"]


def test_changes_that_cannot_work_are_one_sentence(draw: Draw) -> None:
    wrong = {"loops": "written as name=value", "loops=x": "a whole number", "moon=1": "no field 'moon'",
             "mixer=nothing": "is unknown"}  # fmt: skip
    for fields, words in wrong.items():
        app = draw("leaks", **{"leak-fields": fields})
        assert not app.exception
        assert words in app.error[0].value
    draw("leaks", **{"leak-family": "nonsense", "leak-size": "huge", "judge": "moon"}).whole()


def test_fields_are_read_as_what_they_are() -> None:
    told = fields_of("loops=3, auxiliary=False decay=1 mixer=aft,softmax; windows=4,0")
    assert told == {"loops": 3, "auxiliary": False, "decay": 1.0, "mixer": "aft,softmax", "windows": "4,0"}
    assert fields_of("") == {}
    with pytest.raises(ConfigError):
        fields_of("auxiliary=maybe")


def test_the_chosen_run_is_judged_by_its_kind_or_by_its_weights(
    draw: Draw, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = draw("leaks", finished, run="leaky", judge="The chosen run").whole()
    assert "LEAKS" in app.said and len(app.figures) == 3
    asked: list[Any] = []
    monkeypatch.setattr(own, "judged_run", lambda folder, step: asked.append((folder.name, step)) or verdict("gpt"))
    app = draw("leaks", finished, run="berry", judge="The chosen run")
    app.segmented_control(key="leak-way").set_value("weights").run()
    assert not app.figures
    app.button(key="judge-weights").click().run()
    assert asked == [("berry", 12)]
    assert len(app.whole().figures) == 3


def test_a_chosen_run_is_what_it_opens_on_unless_the_address_says_otherwise(draw: Draw, finished: Path) -> None:
    def source(app: Any) -> str:
        return str(app.whole().segmented_control(key="judge").value)

    app = draw("leaks", finished, run="leaky")
    assert source(app) == "run"
    assert "LEAKS" in app.said and not app.success
    assert source(draw("leaks", finished, run="leaky", judge="A family")) == "family"
    assert source(draw("leaks", finished, **{"run": "leaky", "leak-family": "gpt"})) == "family"
    # Chosen at the side while the page is open, a run is judged too; without one there is only a family.
    app = draw("leaks", finished)
    assert source(app) == "family"
    app.selectbox(key="run").select("leaky").run()
    assert source(app) == "run" and "LEAKS" in app.said
    app.segmented_control(key="judge").set_value("family").run()
    assert source(app) == "family"


def test_without_a_run_it_says_so(draw: Draw, finished: Path) -> None:
    assert "No run is chosen" in draw("leaks", judge="The chosen run").whole().said
    app = draw("leaks", finished, judge="The chosen run")
    app.button(key="look-berry").click().run()
    assert "is causal" in app.whole().success[0].value


def test_ones_own_code_runs_only_when_asked_and_elsewhere(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def judged(source: str, **more: Any) -> Any:
        asked.append((source, more))
        if source == "bad.py":
            raise StrawberryError("the model of bad.py failed in line 3")
        return verdict("strawberry-leaky")

    monkeypatch.setattr(own, "judged_code", judged)
    app = draw("leaks", judge="My own model").whole()
    assert "This runs your code" in app.said
    assert app.button(key="judge-own").disabled
    app.text_input(key="own-source").input("model.py:build").run()
    assert asked == []
    app.number_input(key="own-length").set_value(12)
    app.button(key="judge-own").click().run()
    assert asked == [("model.py:build", {"vocab_size": None, "seq_len": 12})]
    assert "LEAKS" in app.whole().said and len(app.figures) == 3
    app.text_input(key="own-source").input("bad.py").run()
    assert not app.figures
    app.button(key="judge-own").click().run()
    assert "failed in line 3" in app.error[0].value

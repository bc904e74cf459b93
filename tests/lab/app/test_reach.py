"""The panels that reach into a model: what they offer, what they show, and what they say when they cannot."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import strawberry
from lab import figures, look
from lab.app import models, reach
from lab.interventions import Intervention
from tests.lab.app.conftest import tiny, trained

Draw = Callable[..., Any]
OPEN = {"reach": True}


def opened(draw: Draw, page: str, runs: Path, **address: str) -> Any:
    return draw(page, runs, state=dict(OPEN), **address).whole()


def done(app: Any) -> Any:
    app.button(key="reach-do").click().run()
    return app.whole()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Intervention, ...]]:
    """What was computed, in order."""
    seen: list[tuple[Intervention, ...]] = []
    real = reach.seen

    def noted(model: Any, tokenizer: Any, text: str, interventions: Any, **more: Any) -> Any:
        seen.append(tuple(interventions))
        return real(model, tokenizer, text, interventions, **more)

    monkeypatch.setattr(reach, "seen", noted)
    for cached in (models._loaded, reach._before, reach._effect):
        cached.clear()
    return seen


@pytest.mark.parametrize(("page", "number", "view"), [("retention", 5, 2), ("experts", 2, 2), ("attention", 3, 1)])
def test_nothing_is_computed_before_the_panel_is_open_and_its_button_pressed(
    draw: Draw, finished: Path, computed: list[Any], page: str, number: int, view: int
) -> None:
    app = draw(page, finished, run="berry").whole()
    assert len(app.figures) == number
    app = opened(draw, page, finished, run="berry")
    assert len(app.figures) == number
    assert not computed
    app = done(app)
    # What each token costs, one prediction, and the page's view twice.
    assert len(app.figures) == number + 2 + view
    assert [len(each) for each in computed] == [0, 1]
    assert "Mean loss" in app.figures[number] or "Mean loss" in "".join(app.figures)
    app.run()
    assert len(computed) == 2


def test_a_transplant_is_said_measured_and_drawn(draw: Draw, finished: Path) -> None:
    app = opened(draw, "retention", finished, run="berry")
    assert "the very model of the look above" in app.said
    app.segmented_control(key="reach-how").set_value("swap").run()
    app.segmented_control(key="reach-projection").set_value("all").run()
    app = done(app)
    assert "**Done:** wC and wT of all projections in layer 0 change places in pass 2." in app.said
    mean, another = app.metric
    assert " from " in mean.delta and another.value.endswith("%")
    slider = next(one for one in app.slider if one.label == "Prediction after token")
    slider.set_value(3).run()
    assert any("What comes after" in figure for figure in app.whole().figures)


def test_changes_are_added_to_those_before_and_follow_to_other_pages(
    draw: Draw, finished: Path, computed: list[Any]
) -> None:
    app = done(opened(draw, "attention", finished, run="berry", layer="1"))
    app.multiselect(key="reach-heads").set_value([1]).run()
    app.segmented_control(key="reach-loop").set_value("here").run()
    app.number_input(key="reach-loops").set_value(3).run()
    app.button(key="reach-more").click().run()
    said = app.whole().said
    assert (
        "head 0 of layer 1 is silent in every pass; head 1 of layer 1 is silent in pass 2; the layers run 3 times"
        in said
    )
    assert [len(each) for each in computed] == [0, 1, 3]


def test_an_expert_is_forced_on_all_tokens(draw: Draw, finished: Path) -> None:
    app = opened(draw, "experts", finished, run="berry", layer="1", kind="attention")
    app.segmented_control(key="reach-do-expert").set_value("force").run()
    app = done(app)
    assert "every token gets attention expert 0 of layer 1" in app.said
    assert "of the tokens have other experts than before" in app.said


def test_another_texts_weights_need_that_text(draw: Draw, finished: Path) -> None:
    app = opened(draw, "retention", finished, run="berry")
    app.segmented_control(key="reach-how").set_value("donor").run()
    assert app.button(key="reach-do").disabled
    app.text_area(key="reach-donor").set_value("quite another text, about something else, and long enough").run()
    app = done(app)
    assert "comes from another text (“\u2068quite another text" in app.said


def test_what_cannot_be_done_is_one_sentence_in_the_panel(draw: Draw, tmp_path: Path) -> None:
    trained(tmp_path / "linear", tiny(pooling="linear"), 2)
    app = opened(draw, "retention", tmp_path, run="linear")
    app.button(key="reach-do").click().run()
    assert not app.exception
    assert "cannot be replaced with pooling=linear" in app.error[0].value
    assert len(app.figures) == 5


def test_without_a_checkpoint_the_panel_says_when_there_is_one(draw: Draw, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "berry", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "checkpoints")
    for page in ("retention", "experts", "attention"):
        app = opened(draw, page, tmp_path, run="bare")
        assert "There is no checkpoint of this run yet" in app.said
        assert not [button for button in app.button if button.key == "reach-do"]


def test_the_nearest_checkpoint_is_named(draw: Draw, finished: Path) -> None:
    app = opened(draw, "attention", finished, run="berry", step="0")
    assert "checkpoint of **step 12**, the nearest to the look above, of step 0" in app.said


def test_the_code_finds_the_same_effect(
    draw: Draw, finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = draw("retention", finished, state=OPEN | {"numbers-reach-effect_tokens": True}, run="berry").whole()
    app = done(app)
    code = next(one.value for one in app.code if "figures.effect_tokens(found" in one.value)
    (tmp_path / "runs").symlink_to(finished, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    shown: list[Any] = []
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: shown.append(figure))
    told: dict[str, Any] = {}
    exec(code, told)
    asked = app.session_state["reached"]
    expected = figures.effect_tokens(reach.effect_of(asked))
    assert shown[0].to_json() == expected.to_json()


def test_what_moved_a_prediction_is_measured_when_asked(draw: Draw, finished: Path) -> None:
    app = draw("attention", finished, state={"influential": True}, run="berry").whole()
    before = len(app.figures)
    next(one for one in app.slider if one.label == "Prediction after token").set_value(9).run()
    assert len(app.figures) == before
    app.button(key="influential-do").click().run()
    assert len(app.whole().figures) == before + 1
    assert any("What moved" in figure for figure in app.figures)


@pytest.mark.parametrize("family", ["retnet", "yoco", "mor", "homunculus", "strawberry-shared", "strawberry-static"])
def test_every_family_can_be_reached_into(draw: Draw, tmp_path: Path, family: str) -> None:
    trained(tmp_path / family, tiny(family), 2)
    app = done(opened(draw, "attention", tmp_path, run=family))
    assert "head 0 of layer 0 is silent" in app.said
    assert bool([one for one in app.number_input if one.key == "reach-loops"]) == (family != "mor")


@pytest.mark.parametrize(("data", "unit"), [("mqar:pairs=4", "answer"), ("markov:symbols=4", "token")])
def test_a_run_on_a_task_is_scored_by_its_answers(
    draw: Draw, tmp_path: Path, data: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    fields = {"tokenizer": "bpe", "vocab_size": 64, "n_experts": 1, "top_k": 1}
    list(strawberry.train(tiny("gpt", **fields), data, runs / "task", 3))
    look.take(runs / "task", "")
    app = done(opened(draw, "attention", runs, run="task"))
    mean = app.metric[0]
    assert mean.label == f"Mean loss, nats per {unit}"
    assert ("scored are the answers" in app.said) == (unit == "answer")
    asked = app.session_state["reached"]
    effect = reach.effect_of(asked)
    assert effect.of_text == (unit == "token") and mean.value == f"{effect.mean_loss[1]:.3f}"
    # The code that is given away scores the same.
    monkeypatch.chdir(tmp_path)
    told: dict[str, Any] = {}
    exec(reach.told(asked), told)
    assert told["found"].mean_loss == effect.mean_loss
    app = draw("attention", runs, state={"influential": True}, run="task").whole()
    app.button(key="influential-do").click().run()
    assert any("What moved" in figure for figure in app.whole().figures)

"""The pages that look at a run: what they show of it, and what they say when there is nothing to show."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import strawberry
from lab import figures, notes, recorded
from lab.app import scrub
from lab.measure.rounding import rounded
from lab.probe import Probe
from tests.lab.app.conftest import tiny, trained

Draw = Callable[..., Any]
PAGES = ("retention", "experts", "attention", "recursion")


@pytest.mark.parametrize("page", PAGES)
def test_without_a_run_the_page_leads_to_one(draw: Draw, page: str) -> None:
    app = draw(page).whole()
    assert "Start one on the Train page" in app.said
    assert not app.figures


@pytest.mark.parametrize("page", PAGES)
def test_runs_that_are_there_are_offered(draw: Draw, finished: Path, page: str) -> None:
    app = draw(page, finished).whole()
    app.button(key="look-berry").click().run()
    assert len(app.whole().figures) >= 2


@pytest.mark.parametrize(("page", "number"), [("retention", 5), ("experts", 2), ("attention", 3), ("recursion", 2)])
@pytest.mark.parametrize("run", ["berry", "leaky"])
def test_a_run_is_drawn_with_its_place_and_its_sentences(
    draw: Draw, finished: Path, page: str, number: int, run: str
) -> None:
    app = draw(page, finished, run=run).whole()
    assert len(app.figures) == number
    said = app.said
    assert said.count("Surprising would be") == number
    assert f"Run **{run}** · the newest look, at step" in said


@pytest.mark.parametrize("page", PAGES)
def test_scrubbing_moves_the_view(draw: Draw, finished: Path, page: str) -> None:
    app = draw(page, finished, run="berry")
    app.select_slider(key="step").set_value("0").run()
    assert "a look, at step 0" in app.whole().said
    app.segmented_control(key="loop").set_value("pass 1").run()
    app.segmented_control(key="layer").set_value("1").run()
    app.whole()
    # A pass runs through all layers.
    assert ("ayer 1" in app.figures[0]) == (page != "recursion")


@pytest.mark.parametrize("page", PAGES)
def test_the_place_comes_from_the_address_and_nonsense_is_ignored(draw: Draw, finished: Path, page: str) -> None:
    app = draw(page, finished, run="berry", step="0", loop="pass 1", layer="1").whole()
    assert "at step 0" in app.said
    draw(page, finished, run="berry", step="999", loop="pass 77", layer="-1", projection="nothing", kind="x").whole()


def test_heads_tokens_and_chunks_come_from_the_address_too(draw: Draw, finished: Path) -> None:
    address = {"run": "berry", "step": "12", "left-channel": "channel 3", "tokens-32": ["4", "20"]}
    app = draw("attention", finished, **address).whole()
    assert app.selectbox(key="left-channel").value == 3
    assert app.slider(key="tokens-32").value == (4, 20)
    app = draw("retention", finished, run="berry", chunk="tokens 0–7").whole()
    assert app.selectbox(key="chunk").value == 0
    nonsense = {
        "left-channel": "channel 999",
        "tokens-32": "x",
        "chunk": "no",
        "other-step": "7",
        "other-frame": "pass 9",
    }
    for page in PAGES:
        draw(page, finished, run="berry", **nonsense).whole()


def test_a_gpt_has_maps_but_neither_made_weights_nor_experts(draw: Draw, finished: Path) -> None:
    assert "plainly learned" in draw("retention", finished, run="gpt").whole().said
    assert "no experts" in draw("experts", finished, run="gpt").whole().said
    assert len(draw("attention", finished, run="gpt").whole().figures) == 3


def test_the_layer_with_attention_experts_offers_them(draw: Draw, finished: Path) -> None:
    app = draw("experts", finished, run="berry", layer="1").whole()
    assert app.segmented_control(key="kind").options == ["attention experts", "feed-forward experts", "SwiGLU experts"]
    app.segmented_control(key="kind").set_value("attention").run()
    app.whole()


def test_the_map_that_is_shown_is_said_to_be_true(draw: Draw, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = draw("attention", finished, run="berry").whole().said
    assert said.count("the map is what was computed") == 2
    assert "do not trust" not in said
    monkeypatch.setattr(Probe, "reconstruction", lambda *_: (0.0, 0.0))
    said = draw("attention", finished, run="berry").whole().said
    assert said.count("own output exactly: the map") == 2 and "0.0e" not in said


@pytest.mark.parametrize("family", ["retnet", "yoco", "yoco-bit", "strawberry-shared"])
def test_every_family_is_drawn_and_maps_say_how_to_read_them(draw: Draw, tmp_path: Path, family: str) -> None:
    trained(tmp_path / family, tiny(family), 2)
    for page in PAGES:
        draw(page, tmp_path, run=family, layer="1").whole()
    if family == "yoco-bit":
        assert "**−1, 0 or +1**" in draw("retention", tmp_path, run=family).said
    elif family != "strawberry-shared":
        assert "plainly learned" in draw("retention", tmp_path, run=family).said
    if family != "strawberry-shared":
        assert "no experts" in draw("experts", tmp_path, run=family).said
    said = draw("attention", tmp_path, run=family, layer="0").whole().said
    assert ("Red adds" in said) == (family != "strawberry-shared")
    assert ("Each row sums to 1" in said) == (family == "strawberry-shared")
    assert "do not trust" not in said


def test_the_verdict_is_on_the_run(draw: Draw, finished: Path) -> None:
    assert "causal" in draw("retention", finished, run="berry").said
    assert "LEAKS" in draw("retention", finished, run="leaky").said
    assert notes.read(finished / "leaky" / "leaks.json")["causal"] is False


@pytest.mark.parametrize("page", PAGES)
def test_a_run_without_pictures_says_why(draw: Draw, tmp_path: Path, page: str) -> None:
    folder = tmp_path / "runs" / "bare"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert "started outside of the dashboard" in draw(page, run="bare").whole().said


def test_a_damaged_picture_is_told_in_one_sentence(draw: Draw, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "hurt"
    (folder / "probes").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "probes" / "step-3.npz").write_bytes(b"not a probe")
    app = draw("retention", run="hurt")
    assert not app.exception
    assert "damaged or not a probe" in app.error[0].value


def test_training_time_plays_from_picture_to_picture_and_pauses(draw: Draw, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "berry", tmp_path / "berry")
    shutil.copy(recorded.probe_path(tmp_path / "berry", 0), recorded.probe_path(tmp_path / "berry", 6))
    steps = ["0", "6", "12"]
    app = draw("experts", tmp_path, run="berry").whole()
    app.button(key="play").click().run()
    # From the newest picture it begins anew.
    shown = [app.select_slider(key="step").value]
    assert shown == steps[:1]
    # Another choice in between does not hurry it.
    app.segmented_control(key="loop").set_value("pass 1").run()
    assert app.select_slider(key="step").value == steps[0]
    while app.session_state["playing"]:
        app.session_state["played"] -= scrub.PACE
        app.run()
        shown.append(app.select_slider(key="step").value)
    assert shown == [*steps, scrub.LATEST]
    app.whole()

    app.select_slider(key="step").set_value(steps[1]).run()
    app.button(key="play").click().run()
    assert app.select_slider(key="step").value == steps[1]
    app.button(key="play").click().run()
    app.session_state["played"] -= scrub.PACE
    app.run()
    assert not app.session_state["playing"]
    assert app.select_slider(key="step").value == steps[1]


def test_each_page_leads_to_its_notebook_which_is_read_in_place(draw: Draw, finished: Path) -> None:
    taught = {"attention": "04_attention_aft_retention", "experts": "05_experts", "retention": "02_retention_by_hand"}
    for page, name in taught.items():
        app = draw(page, finished, run="berry").whole()
        app.button(key=f"lesson-{name}").click().run()
        app.whole()
        assert f".venv/bin/jupyter lab notebooks/{name}.ipynb" in [code.value for code in app.code]
        assert len(app.code) > 5


def test_the_tokens_of_each_expert_are_named(draw: Draw, finished: Path) -> None:
    app = draw("experts", finished, run="berry").whole()
    assert "Whom each expert takes" in app.said
    (told,) = [table.value for table in app.dataframe if "tokens that lean to it" in table.value]
    assert list(told["expert"]) == ["E0", "E1", "E2", "E3"] and told["takes"].str.endswith("%").all()


@pytest.mark.parametrize("page", [*PAGES, "compare", "generate", "leaks", "train"])
def test_a_run_through_the_layers_is_a_pass_in_every_label(draw: Draw, finished: Path, page: str) -> None:
    app = draw(page, finished, run="" if page == "train" else "berry", state={"reach": True}).whole()
    widgets = [*app.segmented_control, *app.number_input, *app.select_slider, *app.slider, *app.selectbox]
    told = [words for widget in widgets for words in (widget.label, getattr(widget, "help", "") or "")]
    assert len(told) > 5
    # The field of the configuration keeps its name, in parentheses.
    assert not [words for words in [*told, app.said] if re.search(r"\bloops?\b(?!\))", words, re.IGNORECASE)]


@pytest.mark.parametrize("rounding", ["ternary", "sign"])
def test_of_rounded_weights_the_levels_are_counted_and_drawn(draw: Draw, tmp_path: Path, rounding: str) -> None:
    trained(tmp_path / "bits", tiny("yoco-bit", rounding=rounding), 3)
    app = draw("retention", tmp_path, run="bits", layer="1").whole()
    assert ("−1, 0 or +1" in app.said) == (rounding == "ternary") and "plainly" not in app.said
    (table,) = [frame.value for frame in app.dataframe if "matrix" in frame.value]
    names = ["−1", "0", "+1"] if rounding == "ternary" else ["−1", "+1"]
    assert list(table)[2:] == names and np.allclose(table[names].sum(axis=1), 1)
    matrices = rounded(strawberry.open_run(tmp_path / "bits").model())
    own = [name for name in matrices if name.startswith(("layers.1.", "memory."))]
    assert list(table["matrix"]) == own == app.selectbox(key="matrix").options
    app.selectbox(key="matrix").set_value(own[2]).run()
    expected = figures.rounded_weights(matrices[own[2]], rounding=rounding)
    (drawn,) = app.whole().figures
    assert [trace["name"] for trace in json.loads(drawn)["data"][:-1]] == [trace.name for trace in expected.data[:-1]]
    shutil.rmtree(tmp_path / "bits" / "checkpoints")
    assert "There is no checkpoint of this run yet" in draw("retention", tmp_path, run="bits").whole().said


def test_of_experts_each_matrix_is_rounded_by_itself() -> None:
    model = strawberry.build(tiny("gpt", n_experts=2, rounding="ternary"))
    found = rounded(model)
    w_in = model.get_parameter("layers.0.feedforward.w_in")
    assert np.array_equal(found["layers.0.feedforward.w_in[1]"], w_in[1].detach())
    assert all(weight.dim() == 2 for weight in found.values()) and not any("embedding" in name for name in found)
    assert rounded(strawberry.build(tiny("gpt"))) == {}

"""Recursion: the lens, depths and thresholds of runs that think again; what is measured when asked, and kept."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lab
import strawberry
from lab import jobs, ponder, recorded
from lab.app import pondering
from lab.measure.calibration import Promise, Trial
from strawberry.errors import RunError, StrawberryError
from tests.lab.app.conftest import tiny, trained

Draw = Callable[..., Any]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with finished runs that decide about depth: "thinker", "ponder", "mixture" and "expert"."""
    runs = tmp_path_factory.mktemp("deep")
    trained(runs / "thinker", tiny("homunculus", n_kv_heads=1, think_above=0.5, max_loops=5), 12)
    trained(runs / "ponder", tiny("homunculus", n_kv_heads=1, halting="distribution"), 3)
    trained(runs / "mixture", tiny("mor"), 3)
    trained(runs / "expert", tiny("mor", recursion="expert-choice"), 3)
    return runs


def asked(rule: str | None, promised: float = 0.01) -> str:
    return json.dumps({"rule": rule, "promised": promised})


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ("thinker", "a **halting head** says how sure it is"),
        ("ponder", "gives the chance to stop there"),
        ("mixture", "gives it its number of passes"),
        ("expert", "Before each pass a **router**"),
    ],
)
def test_runs_that_decide_about_depth_show_it(draw: Draw, deep: Path, run: str, says: str) -> None:
    app = draw("recursion", deep, run=run).whole()
    assert len(app.figures) == 3
    assert app.said.count("Surprising would be") == 3
    assert says in app.said


def test_every_quantity_can_be_shown_and_words_be_read(draw: Draw, deep: Path) -> None:
    app = draw("recursion", deep, run="thinker")
    titles = set()
    for quantity in ("loss", "gain", "entropy", "top_probability", "moved", "confidence"):
        app.segmented_control(key="quantity").set_value(quantity).run()
        titles.add(json.loads(app.whole().figures[0])["layout"]["title"]["text"])
    assert len(titles) == 6
    app.toggle(key="words").set_value(True).run()
    app.slider(key="from").set_value(5).run()
    drawn = json.loads(app.whole().figures[0])
    assert "tokens 5 to 28" in drawn["layout"]["title"]["text"]
    assert len(drawn["data"][0]["text"][0]) == 24


def test_a_place_beyond_the_text_is_ignored(draw: Draw, deep: Path) -> None:
    draw("recursion", deep, {"words": True, "from": 999, "quantity": "nothing", "rule": "whim"}, run="thinker").whole()


def test_a_threshold_that_is_moved_moves_the_exits(draw: Draw, deep: Path) -> None:
    app = draw("recursion", deep, run="thinker")
    app.slider(key="threshold").set_value(0.0).run()
    assert "mean 1.00 of 4 passes" in app.whole().figures[1]
    app.slider(key="threshold").set_value(1.0).run()
    assert "mean 4.00 of 4 passes" in app.whole().figures[1]
    assert "as if all tokens went to full depth" in app.said


def test_one_pass_is_told_honestly(draw: Draw, finished: Path) -> None:
    app = draw("recursion", finished, run="gpt").whole()
    assert "runs its layers once" in app.said
    assert len(app.figures) == 2
    said = draw("recursion", finished, run="berry").whole().said
    assert "Every token takes all 2 passes" in said
    assert "None could stop before the others" in said
    assert "What may be left out" not in said


def test_a_plain_model_that_loops_may_stop_by_what_needs_no_head(draw: Draw, tmp_path: Path) -> None:
    trained(tmp_path / "loops", tiny("gpt", loops=3), 2)
    app = draw("recursion", tmp_path, run="loops").whole()
    assert "nothing in this model decides" in app.said
    assert "None could stop" not in app.said
    assert app.segmented_control(key="rule").value == "gap"
    ponder.take(tmp_path / "loops", asked("gap"))
    app = draw("recursion", tmp_path, run="loops").whole()
    assert len(app.figures) == 2
    assert "Every threshold that was tried" in app.said


def test_a_look_from_before_there_was_a_lens_says_so(draw: Draw, deep: Path, tmp_path: Path) -> None:
    probe = lab.Probe.load(recorded.probe_path(deep / "mixture", 3))
    old = {name: values for name, values in probe.arrays.items() if not name.startswith("lens.")}
    folder = tmp_path / "runs" / "old"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    lab.Probe(probe.meta, old).save(recorded.probe_path(folder, 3))
    app = draw("recursion", run="old").whole()
    assert "before there was a lens" in app.said
    assert not app.figures


def test_what_is_measured_is_kept_and_shown(draw: Draw, deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ponder, "ponder", lambda folder, rule, promised: ponder.take(folder, asked(rule, promised)))
    app = draw("recursion", deep, run="thinker")
    assert "per token, and the loss changes" not in app.said
    app.select_slider(key="promised").set_value(0.02).run()
    app.button(key="measure").click().run()
    assert "(promised: at most 2%)" in app.whole().said
    assert "On other validation text" in app.said
    assert len(app.figures) == 4
    assert "ECE" in app.figures[3]
    assert "What it wrote" in app.said
    again = draw("recursion", deep, run="thinker").whole()
    assert "(promised: at most 2%)" in again.said
    found = ponder.read(deep / "thinker")
    assert found is not None and found.promise is not None and found.calibration is not None
    assert found.step == 12 and found.promise.chosen.increase <= 0.02
    assert found.calibration.counts.sum() == 4 * found.promise.tokens

    app = draw("recursion", deep, run="mixture")
    app.button(key="measure").click().run()
    assert "What it wrote" in app.whole().said
    assert len(app.figures) == 3


def test_what_goes_wrong_is_one_sentence(draw: Draw, deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RunError("no measurement came within 240 s")

    monkeypatch.setattr(ponder, "ponder", fail)
    app = draw("recursion", deep, run="ponder")
    app.button(key="measure").click().run()
    assert not app.exception
    assert [error.value for error in app.error] == ["No measurement came within 240 s."]


def test_it_waits_while_the_run_trains(draw: Draw, deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.Job, "status", lambda job: jobs.Status("training", step=3, steps=9))
    app = draw("recursion", deep, run="thinker")
    assert app.button(key="measure").disabled
    assert "pause the training first" in app.said


@pytest.mark.parametrize("rule", ["distribution", "gap", "saturation", "fixed"])
def test_every_rule_can_be_measured(deep: Path, rule: str) -> None:
    ponder.take(deep / "ponder", asked(rule))
    found = ponder.read(deep / "ponder")
    assert found is not None and found.promise is not None
    assert found.promise.rule == rule and found.calibration is None
    assert {token.passes for token in found.sample} <= {1, 2, 3, 4}


def test_the_sample_of_a_mixture_tells_the_depth_of_the_position_that_predicted(deep: Path) -> None:
    ponder.take(deep / "mixture", asked(None))
    found = ponder.read(deep / "mixture")
    assert found is not None and found.promise is None
    run = strawberry.open_run(deep / "mixture")
    assert "".join(token.text for token in found.sample) == "".join(
        map(str, strawberry.generate(run.model(), run.tokenizer, found.prompt, max_tokens=ponder.WRITTEN))
    )
    assert all(1 <= token.passes <= 3 for token in found.sample)


@pytest.mark.slow
def test_it_is_measured_in_a_process_of_its_own(deep: Path) -> None:
    ponder.ponder(deep / "expert", None, 0.0)
    found = ponder.read(deep / "expert")
    assert found is not None and found.sample
    with pytest.raises(RunError, match="cannot follow the exit rule gap"):
        ponder.ponder(deep / "expert", "gap", 0.0)


def test_what_cannot_be_asked_is_refused(deep: Path, finished: Path) -> None:
    with pytest.raises(StrawberryError, match="it can: confidence, gap"):
        ponder.take(deep / "thinker", asked("distribution"))
    with pytest.raises(StrawberryError, match="every token takes all passes"):
        ponder.take(finished / "gpt", asked(None))


def test_halves_share_no_token_and_short_texts_give_what_they_have() -> None:
    choose, check = ponder.halves(np.arange(1000, dtype=np.uint16), 10)
    seen = [{int(number) for tokens, _ in half for number in tokens.flatten()} for half in (choose, check)]
    assert not seen[0] & seen[1] and len(seen[0]) > 400
    assert all((targets == tokens + 1).all() for half in (choose, check) for tokens, targets in half)
    assert [len(half) for half in ponder.halves(np.arange(8, dtype=np.uint16), 64)] == [1, 0]


def test_a_damaged_finding_is_no_finding(tmp_path: Path) -> None:
    assert ponder.read(tmp_path) is None
    (tmp_path / ponder.FILE).write_text('{"run": "x", "calibration": 3}')
    assert ponder.read(tmp_path) is None


def test_a_promise_that_nothing_keeps_is_told(draw: Draw, deep: Path) -> None:
    never = Trial(math.inf, 4.0, 2.0, 0.0)
    found = ponder.Pondered(
        "thinker", 12, 0, "homunculus", None, Promise("gap", 0.0, 4, 96, 2.0, never, (never,)), never, "", ()
    )
    (deep / "ponder" / ponder.FILE).write_text(json.dumps(ponder._packed(found)))
    assert ponder.read(deep / "ponder") == found
    said = draw("recursion", deep, run="ponder").whole().said
    assert "no threshold that was tried keeps the promise" in said
    assert pondering.trials(found.promise).to_dict("records")[0]["threshold"] == "never stops"

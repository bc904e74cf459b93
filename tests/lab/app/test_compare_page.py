"""Compare: two runs, or two steps of one, in one view, with what is left between them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.jobs import Job
from tests.lab.app.conftest import tiny, trained

Draw = Callable[..., Any]


def test_without_a_run_the_page_leads_to_one(draw: Draw) -> None:
    assert "Start one on the Train page" in draw("compare").whole().said


def test_it_opens_on_two_steps_of_the_run(draw: Draw, finished: Path) -> None:
    app = draw("compare", finished, run="berry").whole()
    assert app.selectbox(key="other").value == "berry"
    assert app.segmented_control(key="view").options == ["Filmstrip of the weights", "Experts", "Who reads whom"]
    assert any("A − B" in note["text"] for note in json.loads(app.figures[0])["layout"]["annotations"])
    assert "step 12" in app.said and "step 0" in app.said


@pytest.mark.parametrize("view", ["Filmstrip of the weights", "Experts", "Who reads whom"])
def test_every_view_compares_two_runs(draw: Draw, finished: Path, view: str) -> None:
    app = draw("compare", finished, run="berry", other="leaky", view=view, layer="1").whole()
    assert len(app.figures) == 1
    assert app.said.count("Surprising would be") == 1
    assert "berry" in app.figures[0] and "leaky" in app.figures[0]


def test_what_only_one_of_them_has_is_not_offered(draw: Draw, finished: Path) -> None:
    app = draw("compare", finished, run="berry", other="gpt", view="Filmstrip of the weights", loop="pass 2").whole()
    assert app.segmented_control(key="view").options == ["Who reads whom"]
    assert "counts channels and the other heads" in app.said
    assert "B has 1 pass" in app.said


def test_nonsense_in_the_address_is_ignored(draw: Draw, finished: Path) -> None:
    draw("compare", finished, run="berry", other="gone", view="moon", **{"other-step-berry": "99"}).whole()


def test_both_can_be_given_one_text(draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "one", tiny(), 2)
    trained(tmp_path / "two", tiny(), 2)
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(Job, "look_at", lambda job, text: asked.append((job.name, text)))
    probe = "lab.app.compare.same_text"
    monkeypatch.setattr(probe, lambda first, second: False)
    app = draw("compare", tmp_path, run="one", other="two", view="Who reads whom").whole()
    app.text_area(key="both-read").input("One text for both.").run()
    app.button(key="both-read-it").click().run()
    assert asked == [("one", "One text for both."), ("two", "One text for both.")]

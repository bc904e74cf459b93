"""A text in the page's address: whoever opens the link sees what its sender saw, and nothing of the run changes."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lab
import strawberry
from lab import figures, look, recorded
from lab.app import linked
from lab.app.words import literal
from tests.lab.app.conftest import tiny

Draw = Callable[..., Any]
SENT = "a berry, 红色 & ünripe: 100% [sure]?"
HOSTILE = "<a href='//x'>y</a> **zq** [zx](http://b.c) :smile: &lt;"


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished runs whose pictures may change."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def address(app: Any) -> str:
    """The text that the page's address names."""
    found = app.query_params.get(linked.TEXT, "")
    return found if isinstance(found, str) else "".join(found)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def reads(app: Any, text: str) -> bool:
    return f"tokens of “\u2068{literal(text[:60])}" in app.said


def test_what_was_typed_is_in_the_address_and_a_link_shows_it_later_too(draw: Draw, runs: Path) -> None:
    app = draw("retention", runs, run="berry").whole()
    assert address(app) == "", "what a run shows by itself stays out"
    app.text_area(key="read").set_value(SENT).run()
    app.button(key="read-it").click().run()
    assert address(app.whole()) == SENT and reads(app, SENT)
    drawn = app.figures
    again = draw("retention", runs, run="berry", text=SENT).whole()
    assert again.figures == drawn and "text of the link" not in again.said

    # Somebody else has the run read another text meanwhile.
    look.look(runs / "berry", "quite another text")
    assert reads(draw("retention", runs, run="berry").whole(), "quite another text")
    before = contents(runs)
    app = draw("retention", runs, run="berry", text=SENT).whole()
    assert "The text of the link" in app.said and reads(app, SENT) and address(app) == SENT
    assert app.figures == drawn
    assert contents(runs) == before, "a link changes nothing"
    app.button(key="leave-link").click().run()
    assert reads(app.whole(), "quite another text") and address(app) == "quite another text"


def test_the_link_goes_along_to_other_pages_until_another_step_is_chosen(draw: Draw, runs: Path) -> None:
    held = {}
    for page in ("experts", "attention", "recursion"):
        app = draw(page, runs, run="berry", text="another berry", state=held).whole()
        assert reads(app, "another berry")
        held = {linked.HELD: app.session_state[linked.HELD]}
    app.select_slider(key="step").set_value("0").run()
    assert not reads(app.whole(), "another berry") and address(app) == ""
    app.select_slider(key="step").set_value("latest").run()
    assert not reads(app.whole(), "another berry")


@pytest.mark.parametrize("page", ["retention", "attention", "recursion"])
def test_a_text_from_a_link_is_only_ever_text(draw: Draw, runs: Path, page: str) -> None:
    opened = {"influential": True, "reach": True}
    app = draw(page, runs, run="berry", text=HOSTILE, state=opened).whole()
    assert reads(app, HOSTILE) and address(app) == HOSTILE
    for mark in ("<a", "**zq", "[zx", ":smile:", "&lt;"):
        assert not re.search(rf"(?<!\\){re.escape(mark)}", app.said), mark
    for figure in app.figures:
        assert "<a href" not in json.dumps(json.loads(figure))


def test_no_address_icon_or_tag_comes_of_a_literal() -> None:
    for text, parted in (
        ("http://b.c", "http:|//b.c"), ("WWW.b.c", "WWW|.b.c"), ("a@b.c", "a@|b.c"), (":material/a:", ":|material/a:"),
        ("<i>", "\\<i\\>"), ("&amp;", "\\&amp;"), ("$x$", "\\$x\\$"), ("a: b, 1–2", "a: b, 1–2"),
    ):  # fmt: skip
        assert literal(text) == parted.replace("|", "\u2060")


@pytest.mark.parametrize("text", ["", "   ", "x" * (linked.LONGEST + 1), "红" * (linked.LONGEST // 9 + 1)])
def test_no_text_or_too_long_a_one_is_not_read(draw: Draw, runs: Path, text: str) -> None:
    app = draw("experts", runs, run="berry", text=text).whole()
    assert ("longer than the 1,000 characters" in app.said) == bool(text.strip())
    assert "text of the link" not in app.said and address(app) == ""


def test_a_text_that_is_too_long_for_a_link_is_shared_as_a_page(draw: Draw, runs: Path) -> None:
    look.look(runs / "berry", "berries " * 126)
    app = draw("experts", runs, run="berry").whole()
    assert address(app) == "" and "too long for the page's address" in app.said and "Page (HTML" in app.said


def test_a_text_that_a_run_shows_by_itself_stays_out_also_when_it_was_typed(draw: Draw, runs: Path) -> None:
    own = lab.Probe.load(recorded.probe_path(runs / "berry", 0))
    assert own.asked == ""
    path = recorded.probe_path(runs / "berry", 12)
    for typed, told in ((own.text, ""), (own.text[:-3], own.text[:-3])):
        last = lab.Probe.load(path)
        dataclasses.replace(last, meta={**last.meta, "asked": typed}).save(path)
        assert address(draw("experts", runs, run="berry").whole()) == told


def test_tokens_that_a_task_does_not_know_and_texts_too_short_are_told(draw: Draw, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    config = tiny("gpt", tokenizer="bpe", vocab_size=64, n_experts=1, top_k=1)
    list(strawberry.train(config, "mqar:pairs=4", runs / "task", 2))
    look.take(runs / "task", "")
    assert reads(draw("attention", runs, run="task", text="k1 v2 k3 v4 k1").whole(), "k1 v2 k3 v4 k1")
    for wrong in ("strawberries", "k1"):
        app = draw("attention", runs, run="task", text=wrong).whole()
        assert "link's text could not be read" in app.said and len(app.figures) == 3


def test_without_a_checkpoint_the_link_says_when_it_can_be_read(draw: Draw, runs: Path) -> None:
    shutil.rmtree(runs / "berry" / "checkpoints")
    app = draw("experts", runs, run="berry", text=SENT).whole()
    assert "once the run has saved a checkpoint" in app.said and not reads(app, SENT)


def test_the_code_beside_such_a_picture_takes_it_again(draw: Draw, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = draw("retention", runs, run="berry", text=SENT, state={"numbers-filmstrip": True}).whole()
    told = next(code.value for code in app.code if "figures.filmstrip" in code.value)
    monkeypatch.chdir(runs.parent)
    shown: list[Any] = []
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: shown.append(figure))
    held: dict[str, Any] = {}
    exec(told, held)
    again = figures.filmstrip(held["probe"], layer=0, projection="qkv", chunk=-1, frame=2)
    assert shown[0].to_json() == again.to_json() and held["probe"].text == SENT

"""Runs that wait and runs that failed: what the pages say of them, and what their buttons do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import jobs, line, tickets
from tests.lab.app.conftest import tiny
from tests.lab.stand_in import say

Draw = Callable[..., Any]


def pressable(app: Any) -> dict[str, bool]:
    return {button.label: not button.disabled for button in app.button if (button.key or "").startswith("control-")}


def test_a_second_run_is_put_in_line_and_says_so_everywhere(draw: Draw, begun: list[str], tmp_path: Path) -> None:
    app = draw("train").whole()
    app.button(key="start").click().run()
    app.session_state["run"] = None
    app.run()
    assert app.button(key="start").label == "Put it in line"
    assert "**strawberry-nano-1** trains now. This run waits, 1st in line" in app.said
    app.button(key="start").click().run()
    app.whole()
    assert begun == ["strawberry-nano-1"]
    assert app.session_state["run"] == "strawberry-nano-2"
    assert "1st in line, behind strawberry-nano-1; it begins by itself" in app.said
    assert pressable(app) == {"Start now": True, "To the front": False, "Leave the line": True}
    # The sidebar leads to the run that trains.
    app.button(key="elsewhere-strawberry-nano-1").click().run()
    assert app.session_state["run"] == "strawberry-nano-1"
    app = draw("runs").whole()
    table = app.dataframe[0].value.set_index("run")
    assert table.loc["strawberry-nano-2", "state"] == "waiting: 1st in line"
    assert "One run trains at once · 1 waiting" in [drawer.label for drawer in app.expander]
    assert "1st in line, behind strawberry-nano-1" in app.said
    app = draw("retention", run="strawberry-nano-2").whole()
    assert "1st in line" in app.said


def test_a_run_that_waits_leaves_or_begins_at_a_press(draw: Draw, begun: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in "abc":
        jobs.start(runs, name, tiny(), pasted="text " * 99)
    app = draw("train", run="c").whole()
    assert "2nd in line, behind b" in app.said
    app.button(key="control-1").click().run()
    assert "1st in line, behind a" in app.whole().said
    app.button(key="control-2").click().run()
    assert "It has not begun yet." in app.whole().said
    assert pressable(app) == {"Resume": True, "One step": False, "Stop": False}
    app.button(key="control-0").click().run()
    assert "2nd in line, behind b" in app.whole().said
    app.button(key="control-0").click().run()
    assert begun == ["a", "c"]


def test_a_paused_run_that_wants_to_go_on_may_stay_paused(draw: Draw, begun: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    a, _ = (jobs.start(runs, name, tiny(), pasted="text " * 99) for name in "ab")
    say(a.folder, "paused", "Paused after step 3; a checkpoint is saved.")
    line.advance(runs)
    app = draw("train", run="a").whole()
    app.button(key="control-0").click().run()
    assert "a checkpoint is saved. It wants to go on: 1st in line, behind b" in app.whole().said
    assert pressable(app) == {"Stay paused": True, "One step": True, "Stop": True}
    app.button(key="control-0").click().run()
    assert a.status().place == 0 and a.status().state == "paused"


def test_the_number_at_once_is_set_on_the_runs_page(
    draw: Draw, begun: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    jobs.start(runs, "a", tiny(), pasted="text " * 99)
    app = draw("runs").whole()
    app.number_input(key="at-once").set_value(2).run()
    assert tickets.at_once(runs) == 2
    jobs.start(runs, "b", tiny(), pasted="text " * 99)
    assert begun == ["a", "b"]
    monkeypatch.setenv(tickets.AT_ONCE, "3")
    app = draw("runs").whole()
    assert app.number_input(key="at-once").disabled and app.number_input(key="at-once").value == 3


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("disk", "Make room"),
        ("memory", "Close other programs"),
        ("killed", "it had saved nothing, so resume begins again"),
        ("crashed", "the log below"),
        ("asked", "Start a new run"),
        ("diverged", "with a lower learning rate"),
    ],
)
def test_a_failure_is_told_with_what_to_do_and_the_log(
    draw: Draw, begun: list[str], tmp_path: Path, cause: str, words: str
) -> None:
    runs = tmp_path / "runs"
    job = jobs.start(runs, "a", tiny(), pasted="text " * 99)
    say(job.folder, "failed", "It _ended_ in some way.", cause=cause)
    (job.folder / "worker.log").write_text("Traceback of that\n")
    app = draw("train", run="a")
    assert not app.exception
    (told,) = app.error
    assert "**It \\_ended\\_ in some way.**" in told.value
    assert words.lower() in told.value.lower()
    assert any("Traceback of that" in block.value for block in app.code)
    assert pressable(app)["Resume"]
    anew = [button for button in app.button if button.key == "anew"]
    assert bool(anew) == (cause == "diverged")
    if anew:
        before = job.request["config"]["learning_rate"]
        anew[0].click().run()
        app.whole()
        fresh = jobs.find(runs, "a-1")
        assert fresh is not None and begun == ["a", "a-1"]
        assert fresh.request["config"]["learning_rate"] == before / 2
        assert (fresh.folder / "text.txt").read_text() == "text " * 99

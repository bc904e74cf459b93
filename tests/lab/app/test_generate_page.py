"""Generate: a run writes what its seed says, in a thread, and says why it cannot."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import notes, process
from lab.app import paper
from lab.app.generate import SHOWN, snippet
from lab.writing import Writing
from tests.lab.app.conftest import tiny, trained

Draw = Callable[..., Any]


@pytest.fixture(autouse=True)
def sheets(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was handed to the sheet, draw by draw."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(paper, "mount", lambda text: told.append(json.loads(text)))
    return told


def written(app: Any) -> Writing:
    """Wait until the text is there, and draw it."""
    held = app.session_state[SHOWN]
    held.join(60)
    app.run()
    app.whole()
    return held


def test_without_a_run_or_a_checkpoint_it_says_what_to_do(
    draw: Draw, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a text needs a model" in draw("generate").whole().said
    app = draw("generate", finished)
    app.button(key="look-berry").click().run()
    assert app.whole().button(key="write")
    folder = tmp_path / "runs" / "young"
    folder.mkdir(parents=True)
    notes.write(folder / "job.json", {"config": tiny().to_dict(), "steps": 90})
    assert "Resume it on the Train page" in draw("generate", run="young").whole().said
    notes.write(folder / "plan.json", {"checkpoint_every": 50})
    notes.write(folder / "status.json", {"state": "training", "step": 7, "updated": time.time()})
    monkeypatch.setattr(process, "alive", lambda folder: True)
    said = draw("generate", run="young").whole().said
    assert "every 50 steps; it is at step 7" in said and "press Pause" in said


def test_a_model_of_a_pasted_text_says_why_it_needs_a_prompt(draw: Draw, tmp_path: Path) -> None:
    trained(tmp_path / "runs" / "pasted", tiny(), 3)
    assert "hardly ever seen any" in draw("generate", run="pasted").whole().said
    assert "hardly ever seen any" not in draw("generate", run="pasted", prompt="the straw").whole().said
    plan = tmp_path / "runs" / "pasted" / "plan.json"
    notes.write(plan, notes.read(plan) | {"data": "sotu"})
    assert "hardly ever seen any" not in draw("generate", run="pasted", prompt="").whole().said


def test_the_same_seed_writes_the_same_text(draw: Draw, finished: Path, sheets: list[dict[str, Any]]) -> None:
    texts = []
    for seed in (1, 1, 2):
        app = draw("generate", finished, run="berry", seed=str(seed), tokens="12", prompt="the straw")
        app.button(key="write").click().run()
        held = written(app)
        assert held.state == "done" and (held.wish.seed, held.wish.prompt) == (seed, "the straw")
        texts.append([token.piece for token in held.tokens])
        assert sheets[-1]["prompt"] == "the straw" and not sheets[-1]["live"]
        assert [token[1] for token in sheets[-1]["tokens"]] == texts[-1]
        assert len(app.figures) == 1
        assert f"{len(texts[-1])} token" in app.said
    assert texts[0] == texts[1] != texts[2]


def test_the_code_beside_it_writes_the_same(draw: Draw, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = draw("generate", finished, run="berry", tokens="9", temperature="1.1", prompt="'red'")
    app.button(key="write").click().run()
    held = written(app)
    monkeypatch.chdir(finished.parent)
    (finished.parent / "runs").symlink_to(finished, target_is_directory=True)
    printed: list[str] = []
    exec(snippet(held, "berry"), {"print": lambda token, end: printed.append(str(token))})
    (finished.parent / "runs").unlink()
    assert printed == [token.text for token in held.tokens]


def test_stop_and_another_run_end_it(draw: Draw, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.writing.PACE", 0.2)
    app = draw("generate", finished, run="berry", tokens="1000", temperature="1.0")
    app.button(key="write").click().run()
    first = app.session_state[SHOWN]
    assert not app.button(key="stop-writing").disabled and app.button(key="write").disabled
    app.button(key="stop-writing").click().run()
    assert first.join(10).state == "stopped"
    app.run()
    assert app.button(key="stop-writing").disabled and not app.button(key="write").disabled
    app.button(key="write").click().run()
    second = app.session_state[SHOWN]
    app.selectbox(key="run").select("gpt").run()
    assert second.join(10).state == "stopped"
    assert "Press Write" in app.whole().said


def test_what_is_asked_comes_from_the_address_and_nonsense_is_ignored(draw: Draw, finished: Path) -> None:
    app = draw("generate", finished, run="berry", **{"top-k": "3", "top-p": "0.5", "seed": "7", "checkpoint": "12"})
    app.button(key="write").click().run()
    wish = written(app).wish
    assert (wish.top_k, wish.top_p, wish.seed, wish.step, wish.exit) == (3, 0.5, 7, 12, None)
    draw("generate", finished, run="berry", seed="x", tokens="-4", checkpoint="999", exit="moon", colour="7").whole()


def test_a_model_that_thinks_again_offers_its_exits(draw: Draw, tmp_path: Path, sheets: list[dict[str, Any]]) -> None:
    trained(tmp_path / "homunculus", tiny("homunculus", n_kv_heads=0), 2)
    app = draw("generate", tmp_path, run="homunculus", tokens="8").whole()
    assert app.selectbox(key="exit").options[0].startswith("none")
    app.selectbox(key="exit").select("confidence").run()
    app.slider(key="threshold-confidence").set_value(1.0)
    app.number_input(key="passes").set_value(5)
    app.button(key="write").click().run()
    held = written(app)
    assert (held.wish.exit, held.wish.threshold, held.wish.max_loops) == ("confidence", 1.0, 5)
    assert {token.passes for token in held.tokens} == {5}
    assert "5.00 passes a token" in app.said
    app.segmented_control(key="colour").set_value("passes").run()
    assert (sheets[-1]["colour"], sheets[-1]["passes"]) == ("passes", 5)
    assert "exit" not in [box.key for box in draw("generate", tmp_path.parent / "x", run="gpt").selectbox]


def test_what_fails_is_one_sentence(draw: Draw, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "free_memory", lambda: 1.0)
    monkeypatch.setattr("lab.writing._models", type(__import__("lab.writing").writing._models)())
    app = draw("generate", finished, run="berry")
    app.button(key="write").click().run()
    app.session_state[SHOWN].join(30)
    app.run()
    assert not app.exception
    assert "not enough memory" in app.error[0].value

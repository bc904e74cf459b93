"""Runs: found, ticked, laid over one another, renamed, deleted after a question, taken out and in."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from lab import notes, parcel
from lab.app.keeping import PICKED
from lab.app.runs import READ
from lab.app.words import styled
from tests.lab.app.conftest import tiny

Draw = Callable[..., Any]
LONG = "a-very-long-name-that-somebody-gave-to-a-run-in-order-to-say-all"


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished runs that may be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def test_without_runs_it_leads_to_one_or_takes_one_in(draw: Draw) -> None:
    app = draw("runs").whole()
    assert "There is no run yet" in app.said
    assert app.button(key="import-it").disabled


def test_all_runs_are_listed_with_their_curves(draw: Draw, finished: Path) -> None:
    app = draw("runs", finished).whole()
    table = app.dataframe[0].value
    assert set(table["run"]) == {"berry", "leaky", "gpt"}
    assert set(table["state"]) == {"finished"}
    assert table["loss"].notna().all() and table["parameters"].notna().all() and (table["size"] > 1000).all()
    assert set(table["done"]) == {100.0}
    assert len(app.figures) == 1
    assert "3 newest runs" in app.said
    assert all(app.button(key=key).disabled for key in ("open", "rename", "export", "delete"))


def test_numbers_are_written_as_on_the_other_pages() -> None:
    table = pd.DataFrame({"right": [0.81667, None], "parameters": [1234567, 890], "size": [3.4e8, 1.2e9], "run": "ab"})
    shown = styled(table, READ).to_html()
    assert all(f">{text}</td>" in shown for text in ("81.7%", "–", "1.23M", "890", "340 MB", "1.2 GB"))


def test_words_narrow_the_list(draw: Draw, finished: Path) -> None:
    app = draw("runs", finished, filter="mixer=softmax").whole()
    assert list(app.dataframe[0].value["run"]) == ["gpt"]
    assert "No run matches" in draw("runs", finished, filter="moon").whole().said


def test_ticked_runs_are_compared(draw: Draw, finished: Path) -> None:
    app = draw("runs", finished, {PICKED: ["berry", "leaky"]}, by="time", unit="bits per byte").whole()
    told = app.dataframe[1].value.set_index("field")
    assert list(told.columns) == ["berry", "leaky"] or list(told.columns) == ["leaky", "berry"]
    assert {"family", "pooling", "steps"} <= set(told.index) and "vocab_size" not in told.index
    assert '"seconds of training"' in app.figures[0] and "bits per byte" in app.figures[0]
    assert [app.button(key=key).disabled for key in ("open", "rename", "delete")] == [True, True, False]
    assert app.button(key="delete").label == "Delete 2"


def asked(runs: Path, call: str, **state: Any) -> AppTest:
    """A dialog by itself: a whole draw, which is what a test of a page does, closes it."""
    app = AppTest.from_string(
        f"from pathlib import Path\nfrom lab.app import keeping\nkeeping.{call}", default_timeout=60
    )
    for name, value in state.items():
        app.session_state[name] = value
    return app.run()


def test_a_run_is_renamed(runs: Path) -> None:
    app = asked(runs, f"rename_dialog(Path({str(runs)!r}), 'gpt')", run="gpt", picked=["gpt", "berry"])
    assert app.button(key="rename-it").disabled
    app.text_input(key="new-name-gpt").input("berry").run()
    app.button(key="rename-it").click().run()
    assert "already there" in app.error[0].value
    app.text_input(key="new-name-gpt").input(LONG).run()
    app.button(key="rename-it").click().run()
    assert (runs / LONG / "config.json").exists() and not (runs / "gpt").exists()
    assert app.session_state[PICKED] == [LONG, "berry"]
    assert app.session_state["next"] == LONG


def test_a_run_is_deleted_only_after_a_yes(draw: Draw, runs: Path) -> None:
    page = draw("runs", runs, {PICKED: ["gpt", "leaky"]}, run="gpt")
    page.button(key="delete").click().run()
    assert "cannot be undone" in page.said and "- gpt" in page.said
    call = f"delete_dialog(Path({str(runs)!r}), [('gpt', 10), ('leaky', 20)])"
    app = asked(runs, call, run="gpt", picked=["gpt", "leaky"])
    app.button(key="keep-it").click().run()
    assert {path.name for path in runs.iterdir()} == {"berry", "leaky", "gpt"}
    app.button(key="delete-it").click().run()
    assert {path.name for path in runs.iterdir()} == {".line", "berry"}
    assert app.session_state[PICKED] == []
    assert app.session_state["next"] is None


def test_a_run_at_work_cannot_be_touched(draw: Draw, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.process.alive", lambda folder: folder.name == "gpt")
    notes.write(runs / "gpt" / "status.json", {"state": "paused", "step": 3, "steps": 9, "updated": 1.0})
    app = draw("runs", runs, {PICKED: ["gpt"]}).whole()
    assert app.button(key="delete").disabled and app.button(key="rename").disabled
    assert "stop it on the Train page first" in app.said


def test_a_run_goes_out_and_comes_in(draw: Draw, runs: Path, tmp_path: Path) -> None:
    app = draw("runs", runs, {PICKED: ["berry"]})
    app.button(key="export").click().run()
    assert "Download the .zip" in app.download_button[0].label
    file = io.BytesIO()
    parcel.export(runs / "berry", file)
    app = draw("runs", runs)
    app.file_uploader[0].set_value(("berry.zip", file.getvalue(), "application/zip")).run()
    app.button(key="import-it").click().run()
    assert "already there" in app.error[0].value
    app.text_input(key="import-name").input("berry-2").run()
    app.button(key="import-it").click().run()
    assert (runs / "berry-2" / "config.json").exists()
    assert app.session_state[PICKED] == ["berry-2"]
    path = tmp_path / "by-path.zip"
    path.write_bytes(b"nothing of the kind")
    app = draw("runs", runs)
    for given, words in ((str(path), "no sound .zip"), (str(tmp_path / "gone.zip"), "there is no file")):
        app.text_input(key="import-path").input(given).run()
        app.button(key="import-it").click().run()
        assert not app.exception
        assert words.lower() in app.error[0].value.lower()


def test_names_and_damage_are_borne(draw: Draw, runs: Path) -> None:
    (runs / "gpt").rename(runs / LONG)
    (runs / "leaky" / "events.jsonl").unlink()
    (runs / "leaky" / "config.json").write_text("[")
    bare = runs / "bare"
    bare.mkdir()
    notes.write(bare / "job.json", {"config": tiny().to_dict(), "steps": 3, "created": 1.0})
    app = draw("runs", runs).whole()
    assert len(app.dataframe[0].value) == 4
    assert "None of these runs has recorded" in draw("runs", runs, {PICKED: ["bare"]}).whole().said

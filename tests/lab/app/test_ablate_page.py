"""Ablate: a study is asked, priced before it starts, begun, watched, read, and taken away."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit import dataframe_util

from lab import jobs, line, notes, process, tickets
from lab.ablate import desk, gauge
from lab.app import words
from tests.lab.ablate import invented
from tests.lab.app.conftest import tiny

Draw = Callable[..., Any]


def written(app: Any) -> set[str]:
    """The cells of the first table as a person reads them."""
    shown = app.dataframe[0].proto.arrow_data.styler.display_values
    return set(dataframe_util.convert_arrow_bytes_to_pandas_df(shown).astype(str).to_numpy().ravel())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """Studies are noted rather than run."""
    begun: list[tuple[Path, int]] = []
    monkeypatch.setattr(desk, "_spawn", lambda folder, jobs: begun.append((folder, jobs)))
    return begun


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A runs folder with a finished study, invented, with one training that can be looked into."""
    found = invented.results()
    folder = tmp_path / "runs" / "first-look"
    cell = folder / "cells" / found.cells[0].name / "checkpoints"
    cell.mkdir(parents=True)
    (cell.parent / "config.json").write_text("{}")
    notes.write(folder / "study.json", found.study)
    notes.write(folder / "status.json", {"state": "finished", "sentence": "Everything is trained."})
    found.write(folder)
    return tmp_path / "runs"


def test_the_page_asks_and_prices_before_it_starts(draw: Draw, tmp_path: Path, started: list[Any]) -> None:
    app = draw("ablate").whole()
    assert "There is no study yet" in app.said and "not enough evidence" in app.said
    table = app.dataframe[0].value
    assert list(table["variant"]) == ["gpt", "aft"] and set(table["data"]) == {"sotu"}
    assert table["parameters"].max() / table["parameters"].min() < 1.02
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Trainings"] == "12" and shown["Time"].endswith("?")
    assert not app.button(key="start-study").disabled
    app.button(key="start-study").click().run()
    assert started == [(tmp_path / "runs" / "study-1", 1)]
    study = desk.Desk(started[0][0]).study
    assert study.equal == "parameters" and study.seeds == (0, 1, 2) and list(study.variants) == ["gpt", "aft"]
    assert app.session_state["study"] == "study-1"


def test_budgets_follow_the_form(draw: Draw) -> None:
    app = draw("ablate", state={"equal": "flops", "own-variants": "aft: mixer=aft\nslim: d_model=16, d_qkv=16"}).whole()
    table = app.dataframe[0].value
    assert {words.count(flops) for flops in table["FLOPs of a training"]} <= written(app)
    assert table["FLOPs of a training"].max() / table["FLOPs of a training"].min() < 1.02
    assert table.set_index("variant").loc["slim", "steps"] > 200
    app = draw("ablate", state={"study-data": ["mqar:pairs=4,length=32"], "sweep": False}).whole()
    assert {metric.label: metric.value for metric in app.metric}["Trainings"] == "6"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"own-variants": "aft mixer"}, "must be a name, a colon"),
        ({"own-variants": "gpt: mixer=aft"}, "two variants called 'gpt'"),
        ({"own-variants": "odd: mixer=nothing"}, "nothing"),
        ({"own-variants": ""}, "two variants or more"),
        ({"study-data": []}, "Choose the data"),
        ({"question": "x", "study-data": ["nowhere:pairs=4"]}, ""),
        ({"ask-by": "TOML", "toml": "name = "}, "not TOML"),
        ({"ask-by": "TOML", "toml": 'name = "a"'}, "lacks question"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_starts(
    draw: Draw, state: dict[str, Any], words: str, started: list[Any]
) -> None:
    app = draw("ablate", state=state)
    assert not app.exception
    if words:
        assert words in "\n".join(error.value for error in app.error)
        assert app.button(key="start-study").disabled
    assert not started


def test_a_study_is_asked_in_toml_too(draw: Draw, started: list[Any]) -> None:
    app = draw("ablate", state={"ask-by": "TOML"}).whole()
    assert set(app.dataframe[0].value["data"]) == {"sotu", "mqar:pairs=4,length=32"}
    app.button(key="start-study").click().run()
    assert desk.Desk(started[0][0]).study.control == {"mqar:pairs=4,length=32": ("attention", 0.9)}


def test_steps_are_timed_when_asked(draw: Draw, monkeypatch: pytest.MonkeyPatch, started: list[Any]) -> None:
    monkeypatch.setattr(gauge, "timed", lambda study: dict.fromkeys(study.pairs, 0.5))
    app = draw("ablate").whole()
    app.button(key="time-it").click().run()
    assert {metric.label: metric.value for metric in app.metric}["Time"] == "≈ 25 min"
    assert "were timed on this machine" in app.said


def test_a_name_that_is_taken_starts_nothing(draw: Draw, tmp_path: Path, started: list[Any]) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    app = draw("ablate", state={"study-name-study-1": "mine"})
    assert "runs folder already" in app.error[0].value and app.button(key="start-study").disabled


def test_what_a_study_found_is_told_and_taken_away(draw: Draw, runs: Path) -> None:
    app = draw("ablate", runs, study="first-look").whole()
    assert "% :green[**better**] than attention" in app.said and "static is :blue[**equal**] to" in app.said
    assert "**not ranked**: leaky" in app.said and "without a rank" in app.said
    assert "**Void.** The control attention" in app.said
    table = app.dataframe[0].value
    assert len(table) == 12 and list(table["verdict"]).count("void") == 4
    assert {words.count(flops) for flops in table["FLOPs"]} <= written(app)
    assert "0.03 (edge)" in list(table["learning rate"])
    assert "These seeds settle 1 of 1 on sotu, 1 of 1 on markov." in app.said
    assert list(app.dataframe[1].value["is"]) == ["worse than prefix"] * 2
    # The verdicts, the grid, and of one data set learning, costs and rates.
    titles = [json.loads(spec)["layout"]["meta"]["figure"] for spec in app.figures]
    assert titles == ["forest", "task_grid", "loss_bands", "pareto", "rate_sweep"]
    labels = [button.proto.label for button in app.get("download_button")]
    assert {"Report (HTML, works offline)", "Report (Markdown)", "All numbers (JSON)"} <= set(labels)
    assert "strawberry ablate studies/first-look.toml" in [code.value for code in app.code]


def test_another_data_set_and_axis_is_in_the_address(draw: Draw, runs: Path) -> None:
    address = {"study": "first-look", "findings-data": "markov", "along": "FLOPs"}
    app = draw("ablate", runs, **address).whole()
    learned = json.loads(app.figures[2])
    assert learned["layout"]["xaxis"]["title"]["text"] == "FLOPs of training"
    assert learned["layout"]["shapes"][0]["y0"] == 1.75


def test_a_training_is_copied_to_the_runs(draw: Draw, runs: Path) -> None:
    app = draw("ablate", runs, study="first-look").whole()
    app.button(key="copy-cell").click().run()
    assert app.session_state["run"] == "first-look-attention-s1000-0123456789"
    assert (runs / app.session_state["run"] / "config.json").is_file()


@pytest.mark.parametrize(
    ("told", "words", "can_go_on"),
    [
        ({"state": "stopped", "sentence": "Stopped, and saved."}, "Stopped, and saved", True),
        ({"state": "failed", "sentence": "there is no gone.txt"}, "there is no gone.txt", True),
        ({"state": "training", "sentence": "1 of 12 trainings", "share": 0.1}, "ended without a word", True),
        ({"state": "finished"}, "Nothing has been measured yet", False),
    ],
)
def test_a_study_without_results_says_what_it_does(
    draw: Draw, tmp_path: Path, started: list[Any], told: dict[str, Any], words: str, can_go_on: bool
) -> None:
    begun = desk.start(tmp_path / "runs", invented.study())
    notes.write(begun.folder / "status.json", told)
    app = draw("ablate", study="first-look")
    assert not app.exception and words in app.said
    assert "Nothing has been measured yet" in app.said
    assert app.button(key="resume-study").disabled is not can_go_on
    assert app.button(key="stop-study").disabled


def test_a_link_to_a_study_that_is_gone_says_so(draw: Draw, runs: Path) -> None:
    app = draw("ablate", runs, study="gone").whole()
    assert "There is no study called “gone”" in app.said
    app.button(key="open-first-look").click().run()
    assert "better" in app.said and app.session_state["study"] == "first-look"


def test_a_study_waits_for_a_run_that_trains_and_says_so(
    draw: Draw, tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "spawn", lambda folder: notes.write(folder / "status.json", {"state": "training"}))
    monkeypatch.setattr(process, "alive", lambda folder: notes.read(folder / "status.json").get("state") == "training")
    job = jobs.start(tmp_path / "runs", "early", tiny())
    app = draw("ablate").whole()
    assert "**early** trains now. This study waits, 1st in line" in app.said
    assert app.button(key="start-study").label == "Put it in line"
    app.button(key="start-study").click().run()
    app.whole()
    assert not started
    assert "This study waits: 1st in line, behind early" in app.said
    assert (app.button(key="stop-study").label, app.button(key="resume-study").label) == ("Leave the line", "Start now")
    # Everybody else sees it too.
    assert "1st in line, behind early" in draw("runs").whole().said
    assert "1st in line, behind early" in draw("ablate").whole().said

    app.button(key="stop-study").click().run()
    assert "It has not begun yet" in app.whole().said and not tickets.waiting(tmp_path / "runs")
    app.button(key="resume-study").click().run()
    assert "1st in line, behind early" in app.whole().said
    notes.write(job.folder / "status.json", {"state": "finished"})
    assert line.advance(tmp_path / "runs") == ["study-1"]
    assert started == [(tmp_path / "runs" / "study-1", 1)]


def test_a_study_may_begin_beside_what_trains(
    draw: Draw, tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "spawn", lambda folder: notes.write(folder / "status.json", {"state": "training"}))
    monkeypatch.setattr(process, "alive", lambda folder: notes.read(folder / "status.json").get("state") == "training")
    jobs.start(tmp_path / "runs", "early", tiny())
    app = draw("ablate", state={"beside": True}).whole()
    assert app.button(key="start-study").label == "Start the study"
    app.button(key="start-study").click().run()
    assert len(started) == 1 and not tickets.waiting(tmp_path / "runs")

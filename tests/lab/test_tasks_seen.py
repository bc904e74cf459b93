"""Looking at a run on a task or a source: losses where something is asked, accuracy, the floor, readable tokens."""

from pathlib import Path

import numpy as np
import pytest

import lab
import strawberry
from lab import figures, look, ponder, recorded, shelf
from lab.figures.lens import averages
from lab.figures.loss import losses_of
from lab.measure.calibration import adaptive, calibration
from lab.report import report
from strawberry.config import Config
from strawberry.data import IGNORED, load

SMALL = {"seq_len": 32, "d_model": 16, "d_qkv": 16, "d_ff": 16, "vocab_size": 64, "batch_size": 4}


def small(family: str, **fields) -> Config:
    return strawberry.preset(f"{family}-pico", **{**SMALL, **fields})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, data in {"task": "mqar:pairs=4", "source": "markov:symbols=4"}.items():
        list(strawberry.train(small("gpt"), data, folder / name, 4, eval_every=2))
    return folder


def test_a_probe_scores_what_is_asked():
    config = small("gpt")
    dataset, model = load("mqar:pairs=4", config), strawberry.build(config)
    seen = lab.probe(model, dataset.tokenizer, dataset.passage(), answers=dataset.answers)
    tokens, targets = (part[0].numpy() for part in dataset.batch("validation", 0, config.replace(batch_size=1)))
    assert seen.ids.tolist() == tokens.tolist()
    asked = np.isfinite(seen.loss)
    # The oracle answers fillers too, where these happen to be keys.
    assert (asked | (targets[:-1] == IGNORED)).all() and not asked[:8].any()
    assert (seen.targets[targets[:-1] != IGNORED] == targets[targets != IGNORED][: asked.sum()]).all()
    logits = model.eval()(dataset.batch("validation", 0, config.replace(batch_size=1))[0])[0].log_softmax(-1)
    place = int(np.flatnonzero(asked)[0])
    assert seen.loss[place] == pytest.approx(-logits[place, seen.targets[place]].item(), rel=1e-4)
    assert seen.mean_loss == pytest.approx(seen.loss[asked].mean())
    assert seen.answers[place].strip().startswith("v") and seen.answers[0] == "–"
    assert seen.lens("loss")[seen.loops - 1][asked] == pytest.approx(seen.loss[asked], rel=1e-4)
    means = averages(seen)
    assert means["loss"][seen.loops - 1] == pytest.approx(seen.mean_loss, rel=1e-4)
    figures.lens(seen)
    figures.lens_curve(seen)
    assert figures.table("lens_curve", seen)["guessed right"].between(0, 1).all()


def test_a_text_of_which_nothing_is_asked():
    config = small("gpt", loops=2)
    dataset, model = load("mqar:pairs=4", config), strawberry.build(config)
    seen = lab.probe(model, dataset.tokenizer, "k1 v1 k2 v2", answers=dataset.answers)
    assert np.isnan(seen.loss).all() and np.isnan(seen.mean_loss)
    figures.lens(seen)
    figures.lens_curve(seen)
    assert figures.table("lens_curve", seen)["loss"].isna().all()


def test_of_text_nothing_has_changed():
    config = small("gpt", tokenizer="bytes", vocab_size=257)
    tokenizer = strawberry.data.Tokenizer.train("bytes", [], 257)
    seen = lab.probe(strawberry.build(config), tokenizer, "berries are red")
    assert seen.targets.tolist() == seen.ids[1:].tolist() and seen.answers == seen.pieces[1:]
    assert averages(seen)["entropy"] == pytest.approx(seen.lens("entropy").mean(axis=1))


def test_the_curve_of_a_task_has_right_answers_and_that_of_a_source_a_floor(runs: Path):
    events = {name: strawberry.open_run(runs / name).events() for name in ("task", "source")}
    args, options = losses_of(events["task"])
    assert options["accuracy"][0] == [2, 4] and options["floor"] is None
    drawn = figures.loss_curve(*args, **options)
    assert "right answers" in [trace.name for trace in drawn.data]
    assert drawn.layout.yaxis2.tickformat == ".0%" and "% right at best" in drawn.layout.title.subtitle.text
    assert "right answers" in figures.table("loss_curve", *args, **options)
    args, options = losses_of([event.to_dict() for event in events["source"]])
    floor = next(event.floor for event in events["source"] if event.event == "evaluated")
    assert options["floor"] == pytest.approx(floor) and options["accuracy"] == ([], [])
    drawn = figures.loss_curve(*args, **options, theme="dark")
    assert [shape.y0 for shape in drawn.layout.shapes] == [options["floor"]]
    assert "the floor is" in drawn.layout.title.subtitle.text
    assert (figures.table("loss_curve", *args, **options)["floor"] == options["floor"]).all()


def test_a_picture_is_taken_of_a_run_on_a_task(runs: Path):
    path = look.take(runs / "task", "")
    seen = lab.Probe.load(path)
    assert np.isfinite(seen.loss).sum() >= 4
    assert seen.text.split()[0].startswith("k")
    assert path == recorded.probe_path(runs / "task", 4)


def test_a_run_in_the_list_has_its_accuracy(runs: Path):
    entries = {entry.name: entry for entry in shelf.entries(runs)}
    assert entries["task"].accuracy is not None and entries["task"].bits_per_byte is None
    assert entries["source"].accuracy is None and entries["source"].loss is not None
    assert entries["task"].fields["data"] == "mqar:pairs=4"


def test_a_report_says_how_many_answers_are_right(runs: Path, tmp_path: Path):
    text = report(runs / "task", tmp_path / "task.html").read_text(encoding="utf-8")
    assert "of the answers right" in text and "made anew" in text
    text = report(runs / "source", tmp_path / "source.html").read_text(encoding="utf-8")
    assert "where the source has" in text


def test_thinking_is_measured_on_what_is_asked():
    config = small("homunculus", loops=2)
    dataset, model = load("mqar:pairs=4", config), strawberry.build(config)
    first, second = ponder.rows(dataset, config)
    assert len(first) == len(second) > 1
    asked = sum(int((targets != IGNORED).sum()) for _, targets in first)
    assert calibration(model, first).counts.sum() == asked * 2
    trial = adaptive(model, first, "fixed", 2, 2)
    assert trial.passes == 2 and trial.loss > 0

"""Train: the form starts what it says, refuses what cannot work in one sentence, and a run is shown as it is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import jobs, notes, process, room
from lab.app.monitor import _no_sample
from lab.jobs import Status
from tests.lab.app.conftest import tiny, trained

Draw = Callable[..., Any]


def test_a_stranger_can_press_start_at_once(draw: Draw, no_worker: list[Path], tmp_path: Path) -> None:
    app = draw("train").whole()
    shown = {metric.label: metric.value for metric in app.metric}
    assert set(shown) == {"Parameters", "Memory to train", "FLOPs per token", "FLOPs of the run", "State of a text"}
    assert not app.button(key="start").disabled
    app.button(key="start").click().run()
    app.whole()
    (job,) = jobs.every(tmp_path / "runs")
    assert no_worker == [job.folder]
    assert job.name == "strawberry-nano-1"
    assert (job.request["data"], job.request["steps"], job.request["text"]) == ("sotu", 1000, "")
    assert job.request["config"]["family"] == "strawberry"
    assert app.session_state["run"] == "strawberry-nano-1"
    assert "strawberry-nano-1" in app.said


@pytest.mark.parametrize(("family", "words"), [("gpt", "after twice as many it is"), ("retnet", "no more after any")])
def test_a_state_that_grows_with_the_text_says_so(draw: Draw, family: str, words: str) -> None:
    app = draw("train", state={"family": family, "size": "pico"}).whole()
    (state,) = [metric for metric in app.metric if metric.label == "State of a text"]
    assert words in state.proto.help


def test_what_matters_can_be_changed_and_costs_follow(draw: Draw, no_worker: list[Path], tmp_path: Path) -> None:
    app = draw("train").whole()
    before = app.metric[0].value
    app.selectbox(key="size").select("pico").run()
    assert app.metric[0].value != before
    app.number_input(key="strawberry-pico-loops").set_value(4)
    app.number_input(key="strawberry-pico-width").set_value(64)
    app.selectbox(key="strawberry-pico-pooling").select("static")
    app.number_input(key="strawberry-pico-seed").set_value(7)
    app.text_input[0].input("my.run")
    app.text_area(key="text").input("Look at this.")
    app.run()
    app.whole()
    app.button(key="start").click().run()
    asked = jobs.find(tmp_path / "runs", "my.run").request
    config = asked["config"]
    assert (config["loops"], config["d_model"], config["d_qkv"], config["d_ff"]) == (4, 64, 64, 64)
    assert (config["pooling"], config["seed"], asked["text"]) == ("static", 7, "Look at this.")


def test_learned_weights_may_be_rounded_and_the_bits_are_told(draw: Draw) -> None:
    def shown() -> dict[str, str]:
        return {metric.label: metric.value for metric in app.metric}

    app = draw("train")
    assert not [box for box in app.selectbox if box.label == "Round weights to"]
    app.selectbox(key="family").select("yoco-bit").run()
    app.whole()
    assert app.selectbox(key="yoco-bit-nano-rounding").value == "ternary"
    ternary = shown()["Bits per weight"]
    app.selectbox(key="yoco-bit-nano-rounding").select("sign").run()
    assert float(shown()["Bits per weight"]) < float(ternary) < 6
    app.selectbox(key="yoco-bit-nano-rounding").select("none").run()
    assert "Bits per weight" not in shown()
    app.selectbox(key="family").select("gpt").run()
    app.selectbox(key="gpt-nano-rounding").select("ternary").run()
    assert "Bits per weight" in shown() and not app.button(key="start").disabled


def test_a_model_that_reads_the_future_says_so_before_it_starts(draw: Draw) -> None:
    app = draw("train")
    app.selectbox(key="family").select("strawberry-leaky").run()
    assert "Reads the future" in app.said


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("mixer", "softermax", "Mixer 'softermax' is unknown"),
        ("top_k", 9, "Top_k 9 is more than n_experts"),
        ("width", 36, "must be a multiple of"),
    ],
)
def test_a_configuration_that_cannot_work_cannot_be_started(
    draw: Draw, name: str, value: object, sentence: str
) -> None:
    app = draw("train", state={f"strawberry-nano-{name}": value})
    assert not app.exception
    assert [sentence in error.value for error in app.error] == [True]
    assert app.button(key="start").disabled


def test_own_text_is_asked_for_and_kept(draw: Draw, no_worker: list[Path], tmp_path: Path) -> None:
    app = draw("train")
    app.selectbox(key="source").select("paste").run()
    assert "Paste the text" in app.said
    assert app.button(key="start").disabled
    app.text_area(key="pasted").input("Ein Text — mit Umlauten: äöü. " * 50).run()
    app.whole().button(key="start").click().run()
    (job,) = jobs.every(tmp_path / "runs")
    assert job.request["data"] == "text.txt"
    assert "äöü" in (job.folder / "text.txt").read_text(encoding="utf-8")


def test_a_path_that_is_not_there_is_named(draw: Draw, tmp_path: Path) -> None:
    app = draw("train")
    app.selectbox(key="source").select("path").run()
    assert "Give the path" in app.said
    app.text_input(key="path").input(str(tmp_path / "nowhere")).run()
    assert "There is no file or folder" in app.said
    app.text_input(key="path").input(str(tmp_path)).run()
    app.whole()


@pytest.mark.parametrize("name", ["../out", "a b", "", "x/y"])
def test_a_bad_name_is_told_in_one_sentence(draw: Draw, no_worker: list[Path], name: str) -> None:
    app = draw("train")
    app.text_input[0].input(name).run()
    app.button(key="start").click().run()
    assert not app.exception
    assert len(app.error) == 1
    assert "cannot be used" in app.error[0].value
    assert not no_worker


def test_a_finished_run_shows_its_numbers_curves_and_pictures(draw: Draw, finished: Path) -> None:
    app = draw("train", finished, run="berry").whole()
    shown = {metric.label: metric.value for metric in app.metric}
    assert float(shown["Training loss"]) > 0
    assert float(shown["Validation, bits/byte"]) > 0
    assert len(app.figures) == 4
    assert "at step 12" in app.said
    # Too short a run for a sample, and none comes any more.
    assert "no sample by step 12. One comes every 50 steps. Its checkpoints write" in app.said
    labels = [button.label for button in app.button]
    assert "Pause" not in labels
    assert "Resume" not in labels


@pytest.mark.parametrize(
    ("state", "plan", "said"),
    [
        ("training", {"sample_every": 50}, "One comes every 50 steps."),
        ("training", {}, "A sample appears here now and then."),
        ("training", {"sample_every": None, "steps": 9}, "was told to write no samples"),
        ("stopped", {"sample_every": 50}, "It had written no sample by step 12. One comes every 50 steps."),
        ("failed", {}, "It had written no sample by step 12."),
    ],
)
def test_where_there_is_no_sample_it_says_whether_one_comes(state: str, plan: dict[str, Any], said: str) -> None:
    told = _no_sample(plan, Status(state=state, step=12))
    assert said in told and (state == "training") == ("no sample by" not in told)


def test_a_link_to_a_run_that_is_gone_says_so(draw: Draw, finished: Path) -> None:
    app = draw("train", finished, run="../../etc")
    assert not app.exception
    assert "Train a Strawberry" in app.said


@pytest.mark.parametrize(
    ("state", "labels"),
    [
        ("training", {"Pause": True, "One step": False, "Stop": True}),
        ("paused", {"Resume": True, "One step": True, "Stop": True}),
        ("stopped", {"Resume": True, "One step": False, "Stop": False}),
        ("starting", {"Pause": False, "One step": False, "Stop": True}),
        ("failed", {"Resume": True, "One step": False, "Stop": False}),
        ("finished", {}),
    ],
)
def test_the_buttons_fit_the_state(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, labels: dict[str, bool]
) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    notes.write(folder / "job.json", {"config": {}, "steps": 9})
    notes.write(
        folder / "status.json", {"state": state, "sentence": "In words.", "step": 3, "steps": 9, "updated": time.time()}
    )
    monkeypatch.setattr(process, "alive", lambda folder: state in jobs.LIVE)
    app = draw("train", run="one")
    assert not app.exception
    found = {button.label: not button.disabled for button in app.button if (button.key or "").startswith("control-")}
    assert found == labels
    assert "In words." in app.said
    if state == "paused":
        app.button(key="control-1").click().run()
        assert notes.read(folder / "control.json") == {"want": "step", "presses": 1}
        app.button(key="control-0").click().run()
        assert notes.read(folder / "control.json") == {"want": "run", "presses": 1}
    if state == "training":
        app.button(key="control-0").click().run()
        assert notes.read(folder / "control.json")["want"] == "pause"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x00\x01\x02binary", "is binary"),
        ("äöü".encode("latin-1") * 40, "is not UTF-8"),
        ("text".encode("utf-16") * 40, "UTF-16"),
    ],
)
def test_an_upload_that_is_no_text_is_told_in_one_sentence(draw: Draw, content: bytes, sentence: str) -> None:
    app = draw("train")
    app.selectbox(key="source").select("upload").run()
    assert "Choose a text file" in app.said
    app.file_uploader[0].set_value(("notes.txt", content, "text/plain")).run()
    assert not app.exception
    assert sentence in app.error[0].value
    assert "notes.txt" in app.error[0].value
    assert app.button(key="start").disabled


def test_an_uploaded_text_is_trained_on(draw: Draw, no_worker: list[Path], tmp_path: Path) -> None:
    app = draw("train")
    app.selectbox(key="source").select("upload").run()
    app.file_uploader[0].set_value(("berries.txt", "\ufeffbeeren — 🍓\n".encode() * 99, "text/plain")).run()
    app.whole().button(key="start").click().run()
    (job,) = jobs.every(tmp_path / "runs")
    assert (job.folder / "text.txt").read_text(encoding="utf-8").startswith("beeren — 🍓")


def test_a_model_too_large_for_this_machine_is_refused_in_one_sentence(
    draw: Draw, no_worker: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "free_memory", lambda: 2e8)
    app = draw("train")
    assert not app.error
    assert "No room now" in app.warning[0].value and "choose a smaller" in app.warning[0].value
    app.button(key="start").click().run()
    assert "choose a smaller" in app.error[0].value
    assert not no_worker
    # What this machine can never hold is not offered.
    monkeypatch.setattr(process, "whole_memory", lambda: 3e8)
    app = draw("train")
    assert "this machine has 300 MB" in app.error[0].value
    assert app.button(key="start").disabled


def test_a_disk_too_small_for_the_checkpoints_is_told_before_it_starts(
    draw: Draw, no_worker: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "disk_free", lambda folder: 1e6)
    app = draw("train")
    assert "checkpoints need about" in app.warning[0].value
    app.button(key="start").click().run()
    assert "make room" in app.error[0].value
    assert not no_worker


def test_a_text_too_short_for_one_row_is_told_before_it_starts(draw: Draw) -> None:
    app = draw("train", state={"source": "paste", "pasted": "words " * 100})
    assert "600 bytes" in app.error[0].value and "lower the sequence length" in app.error[0].value
    assert app.button(key="start").disabled
    app.number_input(key="strawberry-nano-seq_len").set_value(64).run()
    assert not app.error


def test_sizes_beyond_all_measure_are_told_and_not_built(draw: Draw) -> None:
    app = draw("train")
    for name, value in (("width", 8192), ("seq_len", 1_000_000), ("batch_size", 1_000_000)):
        app.number_input(key=f"strawberry-nano-{name}").set_value(value)
    app.run()
    assert not app.exception
    assert "of memory to train and this machine has" in app.error[0].value
    assert app.button(key="start").disabled


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("mor", {"recursion": "expert-choice", "depth_cache": "first"}),
        ("homunculus", {"halting": "distribution", "depth": "random", "think_above": 3.0, "loss_threshold": 5.0}),
        ("strawberry", {"sharing": "sequence", "depth": "random"}),
    ],
)
def test_a_family_offers_what_it_has_to_say_about_passes(
    draw: Draw, no_worker: list[Path], tmp_path: Path, family: str, fields: dict[str, object]
) -> None:
    app = draw("train")
    app.selectbox(key="family").select(family).run()
    app.selectbox(key="size").select("pico").run()
    for name, value in fields.items():
        kind = app.selectbox if isinstance(value, str) else app.number_input
        kind(key=f"{family}-pico-{name}").set_value(value)
    app.run()
    app.whole().button(key="start").click().run()
    (job,) = jobs.every(tmp_path / "runs")
    assert fields.items() <= job.request["config"].items()


def test_a_family_with_one_pass_offers_nothing_about_passes_until_there_are_more(draw: Draw) -> None:
    app = draw("train")
    app.selectbox(key="family").select("gpt").run()
    assert "Order of the passes" not in [box.label for box in app.selectbox]
    app.number_input(key="gpt-nano-loops").set_value(3).run()
    assert app.whole().selectbox(key="gpt-nano-sharing").value == "cycle"


def test_passes_are_counted_where_training_decides_about_them(draw: Draw, tmp_path: Path) -> None:
    config = tiny("homunculus", n_kv_heads=1, think_above=0.1, max_loops=5)
    trained(tmp_path / "thinker", config, 3)
    app = draw("train", tmp_path, run="thinker").whole()
    assert {metric.label: metric.value for metric in app.metric}["Passes"] == "5.0"
    assert "How well each pass foresees" in app.said
    assert len(app.figures) == 3


def test_a_task_is_chosen_with_its_arguments(draw: Draw, no_worker: list[Path], tmp_path: Path) -> None:
    app = draw("train")
    app.selectbox(key="family").select("gpt")
    app.selectbox(key="size").select("pico")
    app.selectbox(key="source").select("made").run()
    app.whole()
    assert app.selectbox(key="maker").value == "mqar"
    app.text_input(key="given-mqar").input("pairs=400").run()
    assert "400 pairs need a length of 1600" in app.said
    assert app.button(key="start").disabled
    app.text_input(key="given-mqar").input("pairs=4").run()
    app.whole()
    app.button(key="start").click().run()
    (job,) = jobs.every(tmp_path / "runs")
    assert job.request["data"] == "mqar:pairs=4"


def test_a_run_on_a_task_shows_how_much_is_right(draw: Draw, tmp_path: Path) -> None:
    import strawberry

    config = strawberry.preset("gpt-pico", seq_len=32, d_model=16, d_qkv=16, d_ff=16, vocab_size=64, batch_size=4)
    for name, data in (("right", "mqar:pairs=4"), ("known", "iid:symbols=4")):
        list(strawberry.train(config, data, tmp_path / "runs" / name, 4, eval_every=2))
    app = draw("train", run="right").whole()
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Validation, right"].endswith("%")
    shown = {metric.label: metric.value for metric in draw("train", run="known").whole().metric}
    assert float(shown["Validation, above floor"]) > 0


def test_an_alarm_is_shown_beside_the_curve(draw: Draw, tmp_path: Path) -> None:
    import strawberry
    from strawberry.events import Warned

    config = strawberry.preset("gpt-pico", seq_len=8, d_model=16, d_qkv=16, d_ff=16, vocab_size=64, batch_size=4)
    folder = tmp_path / "runs" / "loud"
    list(strawberry.train(config, "iid:symbols=4", folder, 2))
    assert not draw("train", run="loud").whole().error
    with (folder / "events.jsonl").open("a", encoding="utf-8") as log:
        log.write(Warned("the loss lies below the entropy", 2, alarm=True).to_line())
    (shown,) = draw("train", run="loud").error
    assert shown.value == "At step 2, the loss lies below the entropy."

"""A run on a task is a run like any other: events, resuming bit for bit, samples, the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import strawberry
from strawberry.config import Config
from strawberry.data import load
from strawberry.events import Evaluated, Event, Sampled, Started, Step, Warned
from strawberry.train import Trainer

DATA = "mqar:pairs=4"


@pytest.fixture(scope="module")
def small() -> Config:
    return strawberry.preset("gpt-pico", seq_len=32, d_model=16, d_qkv=16, d_ff=16, vocab_size=64, batch_size=4)


def told(events: list[Event]) -> list[dict]:
    kept = [event.to_dict() for event in events if event.event in ("step", "evaluated", "sampled")]
    timed = ("tokens_per_s", "seconds")
    return [{name: value for name, value in event.items() if name not in timed} for event in kept]


def test_a_run_on_a_task_is_resumed_bit_for_bit(small: Config, tmp_path: Path):
    options = {"eval_every": 2, "sample_every": 3, "checkpoint_every": 2, "eval_batches": 2}
    whole = list(strawberry.train(small, DATA, tmp_path / "whole", 6, **options))
    with Trainer(small, DATA, tmp_path / "cut", 6, **options) as trainer:
        for event in trainer:
            if event.event == "step" and event.step == 5:
                break
    list(strawberry.train(run=tmp_path / "cut", resume=True))
    run = strawberry.open_run(tmp_path / "cut")
    assert run.data == DATA
    assert told(run.events()) == told(whole)
    assert (run.model().embedding.weight == strawberry.open_run(tmp_path / "whole").model().embedding.weight).all()


def test_events_tell_accuracy_and_the_answer(small: Config):
    events = list(strawberry.train(small, DATA, None, 2, sample_every=1))
    started = next(event for event in events if isinstance(event, Started))
    assert (started.metric, started.bytes_per_token, started.tokens_train) == ("accuracy", None, None)
    assert started.tokens_per_step == 4 * 32
    evaluated = next(event for event in events if isinstance(event, Evaluated))
    assert evaluated.accuracy is not None and 0 <= evaluated.accuracy <= 1
    assert (evaluated.bits_per_byte, evaluated.floor) == (None, None)
    assert evaluated.error is not None and evaluated.error > 0
    sampled = next(event for event in events if isinstance(event, Sampled))
    assert sampled.prompt.startswith("k") and len(sampled.text.split()) == 1
    assert Event.from_line(evaluated.to_line()) == evaluated


def test_rows_shorter_than_the_configurations(small: Config):
    events = list(strawberry.train(small, f"{DATA},length=16", None, 1))
    assert next(event.tokens for event in events if isinstance(event, Step)) == 4 * 16
    assert next(event.tokens_per_step for event in events if isinstance(event, Started)) == 4 * 16


def test_the_command_line_takes_a_task(tmp_path: Path):
    command = [sys.executable, "-m", "strawberry"]
    run = str(tmp_path / "run")
    options = ["--steps", "2", "--seq-len", "32", "--batch-size", "2", "--d-ff", "16"]
    done = subprocess.run(
        [*command, "train", "gpt-pico", "--data", DATA, "--run", run, *options],
        capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    assert "made anew, step by step" in done.stdout
    assert "% right" in done.stdout and "bits/byte" not in done.stdout
    written = subprocess.run(
        [*command, "generate", run, "k1 v1 k2 v2 k1", "--max-tokens", "3"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert written[:5] == ["k1", "v1", "k2", "v2", "k1"]
    assert len(written) == 8
    wrong = subprocess.run([*command, "generate", run, "hello"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "no symbol of this data" in wrong.stderr


def test_the_command_line_lists_what_there_is(capsys: pytest.CaptureFixture[str]):
    from strawberry.__main__ import main
    from strawberry.data import CORPORA
    from strawberry.data.named import MAKERS

    assert main(["data", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == [*CORPORA, *MAKERS]
    assert all(row["about"] for row in rows)
    pairs = next(item for row in rows if row["name"] == "mqar" for item in row["arguments"] if item["name"] == "pairs")
    assert (pairs["default"], pairs["low"]) == (8, 1)
    assert main(["data"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in MAKERS)


@pytest.mark.parametrize("data", ["iid:sharpness=0,symbols=4", "markov:symbols=4"])
def test_an_evaluation_on_a_source_tells_its_floor(small: Config, data: str):
    config = small.replace(batch_size=16)
    evaluated = [event for event in strawberry.train(config, data, None, 1) if isinstance(event, Evaluated)][-1]
    assert evaluated.floor is not None and evaluated.accuracy is None
    # Two measures of one source; the floor of a few tokens is near that of all.
    assert evaluated.floor == pytest.approx(load(data, config).floor, abs=0.1)
    assert evaluated.loss > evaluated.floor


# As in benchmarks/null_information.py, but smaller: few tokens, so that the published Retention soon reads them ahead.
TELLING = {
    "seq_len": 8, "batch_size": 1, "grad_accum": 4, "chunk": 2, "vocab_size": 4, "d_model": 16, "d_qkv": 16, "d_ff": 16,
    "n_layers": 1, "loops": 1, "n_heads": 2, "n_experts": 2, "top_k": 1, "windows": (4, 0), "attention_top_k": 1,
    "optimizer": "adamw", "learning_rate": 0.01, "decay_lr": False, "warmup_steps": 5, "precision": "fp32",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("data", ["iid:symbols=4,sharpness=0", "markov:symbols=4,sharpness=0.5"])
@pytest.mark.parametrize(("family", "mixer"), [("strawberry-leaky", "aft"), ("strawberry", "aft"), ("gpt", "softmax")])
def test_only_a_model_that_reads_the_future_rings_the_alarm(family: str, mixer: str, data: str):
    config = strawberry.preset(f"{family}-pico", **TELLING, mixer=mixer)
    events = list(strawberry.train(config, data, None, 120, eval_every=40, eval_batches=150))
    rung = [event for event in events if isinstance(event, Warned) and event.alarm]
    assert len(rung) == (0 if config.causal else 1), "and once is enough"
    last = [event for event in events if isinstance(event, Evaluated)][-1]
    assert last.floor is not None
    if not config.causal:
        assert last.loss < last.floor - 0.02

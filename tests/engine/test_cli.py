"""The commands do what they say, for a person, for a log file and for a machine."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import strawberry
from strawberry.__main__ import main
from strawberry.cli import commands
from strawberry.cli.show import clean
from strawberry.config import Config
from strawberry.events import Event, Step
from strawberry.learner import Learner
from strawberry.runs import open_run

SMALL = [
    "strawberry-pico", "--tokenizer", "bytes", "--seq-len", "32", "--chunk", "8", "--batch-size", "2",
    "--vocab-size", "257", "--eval-batches", "1", "--sample-tokens", "4",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of six steps, made by the command line."""
    path = tmp_path_factory.mktemp("runs") / "first"
    assert main(["train", *SMALL, "--data", str(text_file), "--run", str(path), "--steps", "6", "--seed", "3"]) == 0
    return str(path)


def test_a_log_file_gets_lines(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["train", *SMALL, "--data", str(text_file), "--steps", "4", "--eval-every", "2", "--log-every", "2"]) == 0
    )
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("strawberry: 6")
    assert [line.split()[1] for line in lines if "tokens/s  lr" in line] == ["2", "4"]
    assert sum("nats/token" in line and "bits/byte" in line for line in lines) == 3
    assert lines[-1].startswith("done: 4 steps; 256 tokens in")
    assert said.err == "note: nothing is kept of this training; give --run FOLDER to keep it\n"


def test_a_machine_gets_events(text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(text_file), "--steps", "2", "--run", str(tmp_path / "run"), "--json"]
    assert main(["train", *SMALL, *options]) == 0
    said = capsys.readouterr()
    events = [Event.from_line(line) for line in said.out.splitlines()]
    assert events == open_run(tmp_path / "run").events()
    assert said.err == ""


def test_a_fifth_of_the_steps_is_the_default_rhythm(run: str) -> None:
    plan = open_run(run).plan
    assert (plan["steps"], plan["eval_every"], plan["sample_every"], plan["checkpoint_every"]) == (6, 2, 2, 2)
    assert open_run(run).config.seed == 3


def test_more_steps_on_the_same_run(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--run", run, "--resume", "--steps", "7"]) == 0
    said = capsys.readouterr()
    assert "step 6 of 7" in said.out
    assert "planned for 6 steps and now has 7" in said.err
    assert main(["train", "--run", run, "--resume"]) == 0


def test_begins_with_another_runs_weights(run: str, text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--init-from", run, "--data", str(text_file), "--steps", "1", "--batch-size", "3"]) == 0
    assert "1 steps" in capsys.readouterr().out.splitlines()[0]


def test_generate(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", run, "the straw", "--max-tokens", "9", "--seed", "1"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("the straw")
    assert first.endswith("\n")
    assert main(["generate", run, "the straw", "--max-tokens", "9", "--seed", "1", "--json", "--step", "6"]) == 0
    tokens = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(token["event"] == "token" and 0 < token["probability"] <= 1 for token in tokens)


def test_a_model_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b[2Jb\r\x9b\u202ec\td\n") == "a\ufffd[2Jb\ufffd\ufffd\ufffdc\td\n"
    assert clean(" a\n b\t\x07", one_line=True) == "a b \ufffd"


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in strawberry.presets())
    assert "READS THE FUTURE" in text
    assert main(["presets", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["preset"] for row in rows] == strawberry.presets()
    assert all(row["parameters"] >= row["active_parameters"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        (["strawberry"], 0), (["gpt-nano"], 0), (["strawberry-leaky"], 1), (["strawberry-leaky-nano"], 1),
        (["strawberry-nano", "--pooling", "batch"], 1), (["strawberry-leaky", "--pooling", "prefix"], 0),
    ],
    ids=str,
)  # fmt: skip
def test_leaks(subject: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaks", *subject]) == code
    assert ("LEAKS" in capsys.readouterr().out) == bool(code)


def test_leaks_of_a_run(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaks", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["causal"] is True


def test_lab_starts_the_dashboard_where_its_settings_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: dict[str, Any] = {}

    def call(command: list[str], **place: Any) -> int:
        called.update(place, command=command)
        return 0

    monkeypatch.setattr(commands.subprocess, "call", call)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STRAWBERRY_RUNS", raising=False)
    assert main(["lab", "--port", "8600"]) == 0
    assert called["command"][1:] == ["-m", "streamlit", "run", "app.py", "--server.port", "8600"]
    assert (called["cwd"] / ".streamlit" / "config.toml").is_file()
    assert called["env"]["STRAWBERRY_RUNS"] == str((tmp_path / "runs").resolve())


def test_a_loss_that_is_not_finite_is_exit_code_3(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    accumulate = Learner._accumulate

    def poisoned(self: Learner, batches: Any, step: int) -> Any:
        tokens, loss, *rest = accumulate(self, batches, step)
        return tokens, loss * float("nan"), *rest

    monkeypatch.setattr(Learner, "_accumulate", poisoned)
    assert main(["train", *SMALL, "--data", str(text_file), "--run", str(tmp_path / "run")]) == 3
    assert "the loss of step 1 is not finite" in capsys.readouterr().err


def _start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-u", "-m", "strawberry", "train", *arguments, "--steps", "100000", "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"])
def test_an_interrupt_saves_and_says_how_to_resume(
    tiny: Config, text_file: Path, tmp_path: Path, number: int, code: int
) -> None:
    run = tmp_path / "run"
    process = _start(*SMALL, "--data", str(text_file), "--run", str(run))
    assert process.stdout is not None
    for line in process.stdout:
        if '"step": 5' in line:
            process.send_signal(number)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    opened = open_run(run)
    step = opened.steps()[-1]
    assert f"interrupted at step {step} and saved; go on with: strawberry train --run {run} --resume" in errors
    assert "Traceback" not in errors
    told = [event.step for event in opened.events() if isinstance(event, Step)]
    assert told == list(range(1, step + 1))
    assert opened.events()[-1].reason == "interrupted"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_reader_that_goes_away_leaves_a_saved_run(text_file: Path, tmp_path: Path) -> None:
    process = _start(*SMALL, "--data", str(text_file), "--run", str(tmp_path / "run"))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=120) == 141
    process.stderr.close()
    assert errors == ""
    assert open_run(tmp_path / "run").steps()


def test_a_fault_of_ours_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(commands, "presets", fault)
    assert main(["presets"]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err

    def full(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(commands, "presets", full)
    assert main(["presets"]) == 2
    assert capsys.readouterr().err == "strawberry: there is not enough memory; lower batch_size, seq_len or d_model\n"

"""Killed at any moment, a run resumes to the same loss curve and the same final weights, bit for bit."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strawberry.config import Config
from strawberry.events import Evaluated, Step
from strawberry.runs import Run, open_run
from strawberry.train import Trainer

STEPS = 12
EVERY = 3
# Each is the moment of a death and the step whose checkpoint, or event, it falls into.
MOMENTS = [
    ("half model.safetensors", 3), ("after model.safetensors", 3), ("half optimizer.safetensors", 6),
    ("half state.json", 6), ("half manifest.json", 6), ("after manifest.json", 9), ("before rename", 9),
    ("after rename", 9), ("half rotation", 9), ("half event", 11), ("before rename", 12),
]  # fmt: skip


def _options(text_file: Path, path: Path, resume: bool) -> dict[str, Any]:
    return {
        "data": str(text_file), "run": str(path), "steps": STEPS, "checkpoint_every": EVERY, "keep": 2, "eval_every": 5,
        "eval_batches": 1, "resume": resume,
    }  # fmt: skip


def _job(config: Config, options: dict[str, Any], moment: str = "never", step: int = 0) -> dict[str, Any]:
    return {"config": config.to_dict(), "options": options, "moment": moment, "step": step}


def _process(told: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, str(Path(__file__).with_name("doomed.py")), json.dumps(told)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _curve(run: Run) -> list[tuple[Any, ...]]:
    return [
        (event.step, event.loss, getattr(event, "total_loss", None), getattr(event, "grad_norm", None))
        for event in run.events()
        if isinstance(event, Step | Evaluated)
    ]


def _files(run: Run) -> dict[str, bytes]:
    folder = run.path / "checkpoints" / f"step-{STEPS}"
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


@pytest.fixture(scope="module")
def whole(tiny: Config, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nobody killed."""
    path = tmp_path_factory.mktemp("whole") / "run"
    list(Trainer(tiny, **_options(text_file, path, resume=False)))
    return open_run(path)


@pytest.mark.slow
def test_killed_inside_every_part_of_a_save(whole: Run, tiny: Config, text_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    jobs = [
        _job(tiny, _options(text_file, path, resume=index > 0), moment, step)
        for index, (moment, step) in enumerate(MOMENTS)
    ]
    process = _process(jobs)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    list(Trainer(run=path, resume=True))
    run = open_run(path)
    assert _curve(run) == _curve(whole)
    assert _files(run) == _files(whole)
    assert run.steps() == whole.steps()
    assert not list((path / "checkpoints").glob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 5, 10])
def test_killed_from_outside_while_training(
    whole: Run, tiny: Config, text_file: Path, tmp_path: Path, after: int
) -> None:
    path = tmp_path / "run"
    process = _process(_job(tiny, _options(text_file, path, resume=False)))
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == after:
            process.kill()
            break
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    list(Trainer(run=path, resume=True))
    assert _curve(open_run(path)) == _curve(whole)
    assert _files(open_run(path)) == _files(whole)


@pytest.mark.parametrize("harm", ["truncate", "flip", "manifest"])
def test_damaged_checkpoints_are_named_and_the_curve_is_the_same(
    whole: Run, tiny: Config, text_file: Path, tmp_path: Path, harm: str
) -> None:
    path = tmp_path / "run"
    with Trainer(tiny, **_options(text_file, path, resume=False)) as trainer:
        for event in trainer:
            if event.event == "saved" and trainer.step == 9:
                break
    victim = path / "checkpoints" / "step-9" / ("manifest.json" if harm == "manifest" else "model.safetensors")
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content[:-1] if harm == "truncate" else content)
    if harm == "manifest":
        victim.unlink()
    events = list(Trainer(run=path, resume=True))
    warned = [event.message for event in events if event.event == "warned"]  # type: ignore[attr-defined]
    assert len(warned) == 1
    assert warned[0].startswith("checkpoint step-9 ")
    assert warned[0].endswith("; it is skipped")
    assert events[0].step == 6  # type: ignore[attr-defined]
    assert _curve(open_run(path)) == _curve(whole)
    assert _files(open_run(path)) == _files(whole)
    assert (path / "checkpoints" / "step-9.damaged").is_dir()

"""What cannot work is said in one sentence before anything is written, and nothing good is ever lost."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

import strawberry
from strawberry import checkpoint
from strawberry.config import Config
from strawberry.data import Text
from strawberry.errors import CheckpointError, ConfigError, DataError, RunError, StrawberryError
from strawberry.events import Finished, Saved, Step, Warned
from strawberry.learner import DivergedError
from strawberry.runs import open_run
from strawberry.train import Trainer, train


@pytest.fixture(scope="module")
def finished(tiny: Config, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    path = tmp_path_factory.mktemp("runs") / "run"
    list(train(tiny, text_file, path, 2, eval_batches=1))
    return path


COUNTS = (
    "steps",
    "eval_every",
    "eval_batches",
    "sample_every",
    "sample_tokens",
    "checkpoint_every",
    "keep",
    "decay_steps",
)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True])
def test_counts_are_whole_and_at_least_one(
    tiny: Config, text_file: Path, tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a whole number of at least 1"):
        Trainer(tiny, text_file, tmp_path / "run", **{name: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"config": None}, ConfigError, "needs a configuration"),
        ({"config": "strawberry-pico"}, ConfigError, "must be a Config"),
        ({"data": "nowhere.txt"}, DataError, "nowhere.txt"),
        ({"data": Text("")}, DataError, "no text"),
        ({"resume": True}, RunError, "nothing to resume without a run"),
        ({"resume": True, "run": "absent"}, RunError, "no run 'absent' to resume"),
        ({"init_from": "absent"}, RunError, "no run 'absent'"),
        ({"resume": True, "run": "absent", "init_from": "other"}, RunError, "leave out resume or init_from"),
        ({"sample_prompt": "\ud800"}, DataError, "surrogate"),
        ({"sample_prompt": 3}, ConfigError, "sample_prompt must be text"),
    ],
    ids=str,
)
def test_what_cannot_work(
    tiny: Config, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any],
    error: type[Exception], match: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments = {"config": tiny, "data": text_file, **arguments}
    with pytest.raises(error, match=match) as caught:
        Trainer(**arguments)
    assert isinstance(caught.value, StrawberryError)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_never_overwritten(tiny: Config, text_file: Path, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="already holds a run; resume it with --resume"):
        Trainer(tiny, text_file, finished, 2)
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_nor_is_anybody_elses_folder_or_file(tiny: Config, text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        Trainer(tiny, text_file, tmp_path, 2)
    with pytest.raises(RunError, match="is a file"):
        Trainer(tiny, text_file, tmp_path / "thesis.txt", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_supervised_job_and_an_interrupted_start_are_no_obstacle(
    tiny: Config, text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "job.json").write_text("{}")
    Trainer(tiny, text_file, tmp_path, 2).close()
    (tmp_path / "config.json").unlink()
    (tmp_path / "events.jsonl").unlink()
    Trainer(tiny, text_file, tmp_path, 2, resume=True).close()
    assert open_run(tmp_path).config == tiny


def test_two_trainers_cannot_write_one_run(tiny: Config, text_file: Path, finished: Path) -> None:
    with Trainer(run=finished, resume=True, steps=3), pytest.raises(RunError, match="is being trained by this process"):
        Trainer(run=finished, resume=True)
    Trainer(run=finished, resume=True).close()


def test_resuming_with_another_configuration_names_the_fields(tiny: Config, text_file: Path, finished: Path) -> None:
    with pytest.raises(ConfigError, match=r"loops was 2 and is now 3; learning_rate was 0\.01 and is now 0\.5"):
        Trainer(tiny.replace(loops=3, learning_rate=0.5), text_file, finished, resume=True)
    Trainer(tiny.replace(device="cpu"), text_file, finished, resume=True).close()


def test_resuming_with_other_data_or_too_few_steps(tiny: Config, finished: Path) -> None:
    with pytest.raises(RunError, match="was trained on other data than 'pasted text'"):
        Trainer(None, Text("something else entirely " * 99), finished, resume=True)
    with pytest.raises(ConfigError, match="is at step 2, beyond 1 steps"):
        Trainer(None, None, finished, 1, resume=True)


def test_without_a_sound_checkpoint_it_does_not_start_over(tiny: Config, text_file: Path, tmp_path: Path) -> None:
    list(train(tiny, text_file, tmp_path / "run", 2, eval_batches=1))
    (tmp_path / "run" / "checkpoints" / "step-2" / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"no sound checkpoint \(checkpoint step-2 is damaged"):
        Trainer(run=tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match="no sound checkpoint"):
        open_run(tmp_path / "run").model()


def test_stops_before_a_step_that_is_not_finite(tiny: Config, text_file: Path, tmp_path: Path) -> None:
    trainer = Trainer(tiny, text_file, tmp_path / "run", 9, checkpoint_every=1, keep=1)
    for event in trainer:
        if isinstance(event, Saved) and event.step == 3:
            break
    before = {name: param.detach().clone() for name, param in trainer.model.named_parameters()}
    _poison(trainer)
    with pytest.raises(DivergedError, match="the loss of step 4 is not finite; the weights of step 3 are kept"):
        list(trainer)
    seen = open_run(tmp_path / "run").events()
    assert isinstance(seen[-1], Finished)
    assert seen[-1].step == 3
    assert "not finite" in seen[-1].reason
    assert open_run(tmp_path / "run").steps() == [3]
    for name, param in open_run(tmp_path / "run").model().named_parameters():
        assert torch.equal(param, before[name])


def _poison(trainer: Trainer) -> None:
    """Make the loss infinite without touching the weights."""
    loss = trainer.model.loss

    def poisoned(tokens: torch.Tensor, targets: torch.Tensor, loops: int) -> strawberry.Losses:
        losses = loss(tokens, targets, loops)
        return losses._replace(total=losses.total * float("inf"))

    trainer.learner._loss = poisoned


def test_a_full_disk_in_the_middle_warns_and_at_the_end_raises(
    tiny: Config, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    trainer = Trainer(tiny, text_file, tmp_path / "run", 2, checkpoint_every=1, eval_batches=1)
    monkeypatch.setattr(checkpoint, "_durable", full)
    with pytest.raises(CheckpointError, match="No space left"):
        list(trainer)
    seen = open_run(tmp_path / "run").events()
    assert [event.step for event in seen if isinstance(event, Step)] == [1, 2]
    assert [event.step for event in seen if isinstance(event, Warned)] == [1]
    trainer.close()


def test_half_a_step_cannot_be_saved(
    tiny: Config, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tiny, text_file, tmp_path / "run", 9)
    step = trainer.learner.optimizers.step

    def interrupted(*arguments: int) -> float:
        step(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.learner.optimizers, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(trainer)
    with pytest.raises(RunError, match="cut off halfway"):
        trainer.save()
    trainer.close()
    with pytest.raises(RunError, match="closed"):
        trainer.save()


def test_begins_from_another_runs_weights_and_tokenizer(tiny: Config, text_file: Path, finished: Path) -> None:
    trainer = Trainer(data=text_file, init_from=finished, steps=2)
    assert trainer.step == 0
    for a, b in zip(trainer.model.parameters(), open_run(finished).model().parameters(), strict=True):
        assert torch.equal(a, b)
    looped = Trainer(tiny.replace(learning_rate=0.5), Text("something else " * 99), init_from=open_run(finished))
    assert looped.tokenizer.fingerprint == trainer.tokenizer.fingerprint
    with pytest.raises(CheckpointError, match=r"has shape .* in run run and .* in the model; use the configuration"):
        Trainer(tiny.replace(d_ff=8), text_file, init_from=finished)
    with pytest.raises(CheckpointError, match="lacks; use the configuration"):
        Trainer(tiny.replace(n_layers=3), text_file, init_from=finished)

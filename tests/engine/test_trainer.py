"""Training tells what happens in order, and a run that stops and resumes is the run that never stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch

from strawberry import resume
from strawberry.config import Config
from strawberry.events import Evaluated, Event, Finished, Sampled, Saved, Started, Step, Warned
from strawberry.runs import open_run
from strawberry.train import Trainer, train

OFTEN: dict[str, Any] = {
    "steps": 8, "eval_every": 3, "eval_batches": 1, "sample_every": 4, "sample_tokens": 5, "sample_prompt": "the",
    "checkpoint_every": 2,
}  # fmt: skip


def told(events: list[Event]) -> list[dict[str, Any]]:
    """What must not depend on interruptions: everything but the clock."""
    clocks = {"seconds", "tokens_per_s"}
    kinds = (Step, Evaluated, Sampled, Saved)
    return [
        {key: value for key, value in event.to_dict().items() if key not in clocks}
        for event in events
        if isinstance(event, kinds)
    ]


@pytest.fixture(scope="module")
def whole(tiny: Config, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "run"
    assert list(train(tiny, text_file, path, **OFTEN)) == open_run(path).events()
    return path


def _weights(path: Path) -> bytes:
    return (path / "checkpoints" / "step-8" / "model.safetensors").read_bytes()


def test_tells_everything_in_order(whole: Path, tiny: Config) -> None:
    events = open_run(whole).events()
    names = [f"{event.event}{getattr(event, 'step', '')}" for event in events]
    assert names == [
        "started0", "step1", "step2", "saved2", "step3", "evaluated3", "step4", "sampled4", "saved4", "step5", "step6",
        "evaluated6", "saved6", "step7", "step8", "evaluated8", "sampled8", "saved8", "finished8",
    ]  # fmt: skip
    started = events[0]
    assert isinstance(started, Started)
    assert Config.from_dict(started.config) == tiny
    assert (started.steps, started.data, started.causal) == (8, "berries.txt", True)
    assert started.tokens_per_step == tiny.batch_size * tiny.seq_len
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.tokens for step in steps] == [started.tokens_per_step * step.step for step in steps]
    evaluated = next(event for event in events if isinstance(event, Evaluated) and event.step == 6)
    assert evaluated.train_loss == pytest.approx(sum(step.loss for step in steps[3:6]) / 3)
    assert all(sum(share) == pytest.approx(1) for step in steps for share in step.loads.values())
    assert steps[0].loads
    assert steps[0].total_loss > steps[0].loss


def test_learns(tiny: Config, text_file: Path) -> None:
    losses = [event.loss for event in train(tiny, text_file, steps=30) if isinstance(event, Step)]
    assert sum(losses[-5:]) / 5 < 0.8 * losses[0]


def test_draws_no_random_numbers_of_the_process(tiny: Config, text_file: Path) -> None:
    trainer = Trainer(tiny, text_file, steps=2, sample_every=1, sample_tokens=3, eval_batches=1)
    state = torch.random.get_rng_state()
    list(trainer)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("stop_after", range(1, 19, 3))
def test_resumed_equals_uninterrupted(
    whole: Path, tiny: Config, text_file: Path, tmp_path: Path, stop_after: int
) -> None:
    events = train(tiny, text_file, tmp_path / "run", **OFTEN)
    for _ in range(stop_after):
        next(events)
    events.close()  # type: ignore[attr-defined]
    list(Trainer(run=tmp_path / "run", resume=True))
    assert told(open_run(tmp_path / "run").events()) == told(open_run(whole).events())
    assert _weights(tmp_path / "run") == _weights(whole)


@pytest.mark.parametrize("stop_after", [2, 6, 7, 13])
def test_saved_anywhere_equals_uninterrupted(
    whole: Path, tiny: Config, text_file: Path, tmp_path: Path, stop_after: int
) -> None:
    with Trainer(tiny, text_file, tmp_path / "run", **OFTEN) as trainer:
        events = iter(trainer)
        for _ in range(stop_after):
            next(events)
        trainer.stop("paused")
    list(Trainer(run=tmp_path / "run", resume=True))
    extra = {"event": "saved", "step": trainer.step, "path": f"checkpoints/step-{trainer.step}"}
    ours, theirs = told(open_run(tmp_path / "run").events()), told(open_run(whole).events())
    for both in (ours, theirs):
        while extra in both:
            both.remove(extra)
    assert ours == theirs
    assert _weights(tmp_path / "run") == _weights(whole)


def test_going_on_in_process_equals_uninterrupted(whole: Path, tiny: Config, text_file: Path, tmp_path: Path) -> None:
    trainer = Trainer(tiny, text_file, tmp_path / "run", **OFTEN)
    while open_run(tmp_path / "run").events()[-1:] != [Finished(8, "done")]:
        for _ in trainer:
            break
    assert told(open_run(tmp_path / "run").events()) == told(open_run(whole).events())


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw"},
        {"optimizer": "adam", "schedule": "step", "step_size": 3, "weight_decay": 0.01},
        {"balance": "bias"},
        {"grad_accum": 2, "precision": "fp32"},
    ],
)
def test_resumes_exactly_in_every_mode(tiny: Config, text_file: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = tiny.replace(**changes)
    options = {**OFTEN, "sample_every": None, "eval_every": None}
    list(train(config, text_file, tmp_path / "whole", **options))
    events = train(config, text_file, tmp_path / "cut", **options)
    for _ in range(7):
        next(events)
    events.close()  # type: ignore[attr-defined]
    list(Trainer(run=tmp_path / "cut", resume=True))
    assert told(open_run(tmp_path / "cut").events()) == told(open_run(tmp_path / "whole").events())
    assert _weights(tmp_path / "cut") == _weights(tmp_path / "whole")


def test_accumulated_micro_batches_count_as_one_batch(tiny: Config, text_file: Path) -> None:
    config = tiny.replace(grad_accum=3)
    event = next(event for event in train(config, text_file, steps=1) if isinstance(event, Step))
    assert event.tokens == 3 * config.batch_size * config.seq_len


def test_a_finished_run_may_be_given_more_steps(tiny: Config, text_file: Path, tmp_path: Path) -> None:
    list(train(tiny, text_file, tmp_path / "run", 4, eval_batches=1))
    assert [event.event for event in Trainer(run=tmp_path / "run", resume=True)] == ["started", "finished"]
    events = list(Trainer(run=tmp_path / "run", resume=True, steps=6))
    assert [event.step for event in events if isinstance(event, Step)] == [5, 6]
    assert any(isinstance(event, Warned) and "planned for 4 steps and now has 6" in event.message for event in events)
    assert open_run(tmp_path / "run").plan["steps"] == 6


def test_a_model_that_reads_the_future_says_so(tiny: Config, text_file: Path) -> None:
    config = tiny.replace(family="strawberry-leaky", pooling="batch")
    events = list(train(config, text_file, steps=1))
    assert any(isinstance(event, Warned) and "reads the future" in event.message for event in events)


def test_what_a_checkpoint_keeps_is_what_progress_holds() -> None:
    assert set(vars(resume.Progress())) == {"step", "tokens", "seconds", "loss_sum", "loss_steps"}

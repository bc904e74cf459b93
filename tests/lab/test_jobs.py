"""Training as a subprocess: start, pause, step, resume, stop, and every way in which it can end badly."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import strawberry
from lab import jobs, notes, process, recorded
from lab.jobs import Job, JobError, Status
from lab.probe import Probe
from strawberry.config import Config
from strawberry.errors import RunError
from strawberry.eventlog import read_events

TEXT = "\n".join(f"the strawberry of line {number} is {'red' if number % 3 else 'green'}." for number in range(300))
PATIENCE = 60.0


def tiny_config() -> Config:
    """A Strawberry on bytes that takes milliseconds per step."""
    return strawberry.preset(
        "strawberry-pico", tokenizer="bytes", vocab_size=257, seq_len=32, chunk=8, batch_size=2, warmup_steps=2,
        d_model=16, d_qkv=16, d_ff=16, windows=(4, 0), n_experts=2, n_heads=2, top_k=1, attention_top_k=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Config:
    return tiny_config()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A runs folder whose workers are ended after the test."""
    yield tmp_path
    for job in jobs.every(tmp_path):
        job.kill()


def until(job: Job, holds: Callable[[Status], bool]) -> Status:
    """The first status for which ``holds`` is true; fails with the worker's log when none comes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        status = job.status()
        if holds(status):
            return status
        time.sleep(0.05)
    pytest.fail(f"waited in vain; now {job.status()}\n{job.log()}")


@pytest.mark.slow
def test_a_run_is_steered_from_start_to_stop_and_resumed_to_its_end(tiny: Config, runs: Path) -> None:
    job = jobs.start(runs, "steered", tiny, steps=100_000, pasted=TEXT)
    assert job.status().live
    until(job, lambda status: status.state == "training" and status.step >= 3)
    assert recorded.probes(job.folder)[0] == 0

    job.pause()
    paused = until(job, lambda status: status.state == "paused")
    assert paused.step in recorded.checkpoints(job.folder)
    assert paused.step in recorded.probes(job.folder)
    time.sleep(0.5)
    assert job.status().step == paused.step

    job.step()
    job.step()
    stepped = until(job, lambda status: status.state == "paused" and status.step == paused.step + 2)
    assert stepped.step in recorded.probes(job.folder)

    picture = recorded.probe_path(job.folder, stepped.step)
    job.look_at("quite another text")
    until(job, lambda _: Probe.load(picture).text == "quite another text")

    job.resume()
    until(job, lambda status: status.state == "training" and status.step > stepped.step + 2)
    job.stop()
    stopped = until(job, lambda status: not status.live)
    assert stopped.state == "stopped"
    assert stopped.step in recorded.checkpoints(job.folder)

    asked = job.request
    notes.write(job.folder / "job.json", {**asked, "steps": stopped.step + 5})
    job.resume()
    done = until(job, lambda status: status.state == "finished")
    assert done.step == stopped.step + 5
    events, _ = read_events(job.folder / "events.jsonl")
    steps = [event.step for event in events if event.event == "step"]
    assert steps == list(range(1, done.step + 1))
    assert Probe.load(recorded.probe_path(job.folder, done.step)).text == "quite another text"

    job.look_at("")
    assert Probe.load(recorded.probe_path(job.folder, done.step)).text.startswith("the strawberry of line")
    with pytest.raises(RunError, match="at least two"):
        job.look_at("x")


@pytest.mark.slow
def test_a_killed_worker_is_reported_in_words_and_resumed(tiny: Config, runs: Path) -> None:
    job = jobs.start(runs, "killed", tiny, steps=100_000, pasted=TEXT)
    until(job, lambda status: status.step >= 1)
    job.pause()
    saved = until(job, lambda status: status.state == "paused").step
    job.resume()
    until(job, lambda status: status.step > saved)
    os.kill(notes.read(job.folder / "worker.json")["pid"], signal.SIGKILL)
    status = until(job, lambda status: not status.live)
    assert status.state == "failed"
    assert "without a word" in status.sentence
    assert "signal 9" in status.sentence
    # A busy machine may have taken so long that the clock saved once more.
    newest = recorded.checkpoints(job.folder)[-1]
    assert newest >= saved
    assert f"Resume goes on from step {newest}" in status.advice
    job.resume()
    until(job, lambda status: status.state == "training" and status.step > saved)


@pytest.mark.slow
def test_a_worker_outlives_nothing_it_does_not_need(tiny: Config, runs: Path) -> None:
    """It sits in a session of its own, is not a zombie when it ended, and SIGTERM makes it save."""
    job = jobs.start(runs, "alone", tiny, steps=100_000, pasted=TEXT)
    keeper = notes.read(job.folder / "keeper.json")["pid"]
    assert os.getsid(keeper) == keeper != os.getsid(0)
    until(job, lambda status: status.step >= 2)
    pid = notes.read(job.folder / "worker.json")["pid"]
    assert os.getsid(pid) == pid != keeper
    assert psutil.Process(keeper).memory_info().rss < 25e6
    os.kill(pid, signal.SIGTERM)
    stopped = until(job, lambda status: not status.live)
    assert stopped.state == "stopped"
    assert recorded.checkpoints(job.folder)[-1] == stopped.step
    until(job, lambda _: not process.alive(job.folder))
    until(job, lambda _: not psutil.pid_exists(pid) and not psutil.pid_exists(keeper))


@pytest.mark.slow
def test_a_text_that_cannot_be_trained_on_fails_in_one_sentence(tiny: Config, runs: Path) -> None:
    job = jobs.start(runs, "short", tiny, pasted="too short")
    status = until(job, lambda status: not status.live)
    assert status.state == "failed"
    assert "too small" in status.sentence
    assert "Traceback" not in status.sentence
    job = jobs.start(runs, "stopped-early", tiny, steps=100_000, pasted=TEXT)
    job.stop()
    assert job.status().state == "stopped"


@pytest.mark.parametrize("name", ["", "..", "../out", "a/b", ".hidden", "a b", "x" * 65, "ü"])
def test_names_cannot_lead_out_of_the_runs_folder(tiny: Config, runs: Path, name: str) -> None:
    with pytest.raises(RunError):
        jobs.start(runs, name, tiny)
    assert jobs.find(runs, name) is None
    assert list(runs.iterdir()) == []


def test_a_link_out_of_the_runs_folder_is_not_a_run(
    tiny: Config, runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    notes.write(outside / "job.json", {"config": tiny.to_dict()})
    (runs / "sly").symlink_to(outside)
    assert jobs.find(runs, "sly") is None
    assert jobs.every(runs) == []


def test_a_name_is_taken_once(tiny: Config, runs: Path) -> None:
    (runs / "mine").mkdir()
    with pytest.raises(JobError, match="already there"):
        jobs.start(runs, "mine", tiny)


def test_a_model_that_does_not_fit_is_refused_before_it_starts(
    tiny: Config, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "free_memory", lambda: 1e8)
    with pytest.raises(JobError, match="choose a smaller"):
        jobs.start(runs, "huge", tiny.replace(device="cpu"))
    assert jobs.every(runs) == [] and not (runs / "huge").exists()


def test_a_worker_is_known_by_its_start_time_too(tmp_path: Path) -> None:
    own = psutil.Process()
    notes.write(tmp_path / "worker.json", {"pid": own.pid, "created": own.create_time()})
    assert process.alive(tmp_path)
    notes.write(tmp_path / "worker.json", {"pid": own.pid, "created": own.create_time() - 100.0})
    assert not process.alive(tmp_path)
    notes.write(tmp_path / "worker.json", {"pid": "nonsense"})
    assert not process.alive(tmp_path)


def test_silence_is_told(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "alive", lambda folder: True)
    notes.write(runs / "job.json", {"config": {}})
    notes.write(runs / "status.json", {"state": "training", "step": 3, "updated": time.time() - 60})
    assert "No sign of life for 6" in Job(runs).status().sentence


def test_a_run_of_the_command_line_is_listed_and_cannot_be_steered(runs: Path) -> None:
    folder = runs / "by-hand"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "events.jsonl").write_text('{"event": "finished", "step": 7, "reason": "done"}\n')
    (job,) = jobs.every(runs)
    assert (job.status().state, job.status().step, job.steerable) == ("finished", 7, False)
    for action in (job.pause, job.step, job.stop):
        with pytest.raises(JobError, match="not training"):
            action()
    with pytest.raises(JobError, match="command line"):
        job.resume()
    with pytest.raises(RunError, match=r"damaged|cannot be read"):
        job.look_at("a text")

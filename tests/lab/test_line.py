"""The line of runs: who waits for whom, who begins when, and never twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lab import jobs, line, notes, process, shelf, status, tickets
from lab.jobs import Job, JobError
from strawberry.config import Config
from strawberry.eventlog import read_events
from tests.lab.stand_in import say
from tests.lab.test_jobs import tiny_config, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiny() -> Config:
    return tiny_config()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A runs folder whose line and workers are ended after the test."""
    yield tmp_path
    for folder in tickets.waiting(tmp_path):
        tickets.drop(folder)
    for job in jobs.every(tmp_path):
        job.kill()


def start(runs: Path, names: str, config: Config, **options: bool) -> list[Job]:
    return [jobs.start(runs, name, config, **options) for name in names]


def test_one_trains_and_the_others_wait_in_their_order(tiny: Config, runs: Path, begun: list[str]) -> None:
    a, b, c = start(runs, "abc", tiny)
    assert begun == ["a"]
    assert [job.status().state for job in (a, b, c)] == ["training", "waiting", "waiting"]
    assert [job.status().place for job in (a, b, c)] == [0, 1, 2]
    assert b.status().sentence.startswith("1st in line, behind a; it begins by itself")
    assert c.status().sentence == "2nd in line, behind b; it begins by itself."
    assert line.advance(runs) == []

    say(a.folder, "finished")
    assert line.advance(runs) == ["b"]
    assert (b.status().state, b.status().place, c.status().place) == ("training", 0, 1)
    say(b.folder, "failed")
    assert line.advance(runs) == ["c"]
    assert line.advance(runs) == []
    assert begun == ["a", "b", "c"]


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "paused"])
def test_whatever_ends_or_pauses_lets_the_next_begin(tiny: Config, runs: Path, begun: list[str], state: str) -> None:
    a, _ = start(runs, "ab", tiny)
    say(a.folder, state)
    assert line.advance(runs) == ["b"]


def test_a_paused_run_goes_on_as_the_next(tiny: Config, runs: Path, begun: list[str]) -> None:
    a, b, c = start(runs, "abc", tiny)
    say(a.folder, "paused")
    line.advance(runs)
    a.resume()
    assert a.status().state == "paused" and a.status().live
    assert (a.status().place, c.status().place) == (1, 2)
    assert "It wants to go on: 1st in line, behind b" in a.status().sentence
    say(b.folder, "finished")
    assert line.advance(runs) == ["a"]
    assert notes.read(a.folder / "control.json")["want"] == "run"
    assert begun == ["a", "b"]
    # Until its worker has heard that, nobody else may begin.
    assert a.status().state == "paused" and line.advance(runs) == []


def test_a_run_that_ended_is_resumed_as_the_last(tiny: Config, runs: Path, begun: list[str]) -> None:
    a, b, c = start(runs, "abc", tiny)
    say(a.folder, "stopped")
    line.advance(runs)
    a.resume()
    assert [job.name for job in (b, c, a) if job.status().place] == ["c", "a"]
    assert a.status().sentence == "2nd in line, behind c; it begins by itself."
    a.leave()
    assert (a.status().state, a.status().step) == ("stopped", 3)


def test_a_run_leaves_the_line_and_comes_back(tiny: Config, runs: Path, begun: list[str]) -> None:
    _, b, c = start(runs, "abc", tiny)
    b.stop()
    assert (b.status().state, b.status().sentence) == ("stopped", "It has not begun yet.")
    assert c.status().place == 1
    b.resume()
    assert (b.status().place, c.status().place) == (2, 1)
    b.first()
    assert (b.status().place, c.status().place) == (1, 2)
    b.resume(beside=True)
    assert begun == ["a", "b"]
    assert b.status().place == 0
    c.kill()
    assert c.status().place == 0


def test_a_run_that_waits_may_be_renamed_or_deleted(tiny: Config, runs: Path, begun: list[str]) -> None:
    a, _, c = start(runs, "abc", tiny)
    shelf.rename(runs, "b", "beta")
    assert jobs.every(runs) and tickets.waiting(runs) == [runs / "beta", c.folder]
    shelf.delete(runs, "beta")
    assert c.status().place == 1
    say(a.folder, "paused")
    a.resume()
    for action in (lambda: shelf.rename(runs, "a", "alpha"), lambda: shelf.delete(runs, "a")):
        with pytest.raises(JobError, match="at work"):
            action()


def test_as_many_train_at_once_as_was_said(
    tiny: Config, runs: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tickets.at_once(runs) == 1
    tickets.set_at_once(runs, 2)
    a, *_ = start(runs, "abcd", tiny)
    assert begun == ["a", "b"]
    say(a.folder, "finished")
    assert line.advance(runs) == ["c"]
    tickets.set_at_once(runs, 3)
    assert line.advance(runs) == ["d"]
    for number in (0, 65):
        with pytest.raises(JobError, match="between 1 and 64"):
            tickets.set_at_once(runs, number)
    monkeypatch.setenv(tickets.AT_ONCE, "5")
    assert tickets.at_once(runs) == 5
    with pytest.raises(JobError, match="decides how many"):
        tickets.set_at_once(runs, 2)
    for nonsense in ("many", "-3"):
        monkeypatch.setenv(tickets.AT_ONCE, nonsense)
        assert tickets.at_once(runs) in (1, 3)


def test_a_study_at_work_counts_as_a_run(tiny: Config, runs: Path, begun: list[str]) -> None:
    study = runs / "study"
    study.mkdir()
    notes.write(study / "study.json", {})
    assert status.training(runs) == []
    say(study, "training")
    (a,) = start(runs, "a", tiny)
    assert begun == [] and "behind study" in a.status().sentence
    assert [job.name for job in jobs.every(runs)] == ["a"]
    say(study, "finished")
    assert line.advance(runs) == ["a"]


def test_beside_begins_at_once(tiny: Config, runs: Path, begun: list[str]) -> None:
    start(runs, "ab", tiny)
    start(runs, "c", tiny, beside=True)
    assert begun == ["a", "c"]


def test_the_line_waits_for_memory_and_says_so(
    tiny: Config, runs: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = start(runs, "ab", tiny.replace(device="cpu"))
    say(a.folder, "finished")
    monkeypatch.setattr(process, "free_memory", lambda: 1e8)
    assert line.advance(runs) == []
    told = b.status()
    assert told.state == "waiting"
    assert "1st in line, and waits for room: this model needs about" in told.sentence
    monkeypatch.setattr(process, "free_memory", lambda: 1e12)
    assert "begins in a moment" in b.status().sentence
    assert line.advance(runs) == ["b"]


def test_a_run_that_is_damaged_does_not_hold_up_the_line(tiny: Config, runs: Path, begun: list[str]) -> None:
    a, b, c = start(runs, "abc", tiny)
    (b.folder / "job.json").write_text('{"config": {"mixer": 7}}')
    say(a.folder, "finished")
    assert line.advance(runs) == ["b"]
    say(b.folder, "failed")
    (c.folder / tickets.TICKET).write_text("{")
    assert c.status().place == 1
    assert line.advance(runs) == ["c"]


def test_a_ticket_that_was_not_torn_up_begins_nothing_twice(tiny: Config, runs: Path, begun: list[str]) -> None:
    a, b = start(runs, "ab", tiny)
    tickets.take(a.folder, first=True)
    assert a.status().place == 0
    assert line.advance(runs) == []
    assert tickets.waiting(runs) == [b.folder]


def test_two_who_let_the_next_begin_begin_it_once(
    tiny: Config, runs: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "abcdefghij"
    start(runs, names, tiny)
    slowly = process.spawn

    def spawn(folder: Path) -> None:
        time.sleep(0.01)
        slowly(folder)

    monkeypatch.setattr(process, "spawn", spawn)
    stop = threading.Event()

    def hurry() -> None:
        while not stop.is_set():
            line.advance(runs)

    threads = [threading.Thread(target=hurry) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for name in names:
            end = time.monotonic() + 20
            while notes.read(runs / name / "status.json").get("state") != "training" and time.monotonic() < end:
                assert len(status.training(runs)) <= 1
                time.sleep(0.002)
            say(runs / name, "finished")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert begun == list(names)


def test_two_dashboards_that_start_at_once_start_one(tiny: Config, runs: Path, begun: list[str]) -> None:
    refused: list[str] = []

    def press(name: str) -> None:
        try:
            jobs.start(runs, name, tiny)
        except JobError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=press, args=(name,)) for name in "aabbccdd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1
    assert len(refused) == 4 and all("already there" in told for told in refused)
    assert sorted(job.status().place for job in jobs.every(runs)) == [0, 1, 2, 3]


def test_a_lock_that_stays_held_is_told(tiny: Config, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tickets.turn(runs), pytest.raises(JobError, match="busy starting a run"), tickets.turn(runs, patience=0.05):
        pass
    with tickets.turn(runs):
        pass


def test_the_keepers_call_waits_for_room_and_then_leaves(
    tiny: Config, runs: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = start(runs, "ab", tiny.replace(device="cpu"))
    line.hand_on(runs)
    assert begun == ["a"]
    say(a.folder, "failed")
    asked: list[float] = []

    def free_memory() -> float:
        asked.append(time.monotonic())
        return 1e8 if len(asked) < 6 else 1e12

    monkeypatch.setattr(line, "BEAT", 0.01)
    monkeypatch.setattr(process, "free_memory", free_memory)
    line.hand_on(runs)
    assert begun == ["a", "b"] and len(asked) >= 6


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_places_in_words(number: int, words: str) -> None:
    assert status.nth(number) == words


START = """
import sys
from pathlib import Path
from lab import jobs
from tests.lab.test_jobs import TEXT, tiny_config
jobs.start(Path(sys.argv[1]), sys.argv[2], tiny_config(), steps=int(sys.argv[3]), pasted=TEXT)
print("started", flush=True)
import time
time.sleep(600)
"""


def dashboard(runs: Path, name: str, steps: int) -> "subprocess.Popen[bytes]":
    """A process that starts a run as a dashboard does, and then only lives."""
    command = [sys.executable, "-c", START, str(runs), name, str(steps)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=process.environment())
    assert server.stdout is not None and server.stdout.readline() == b"started\n"
    return server


def ended(server: "subprocess.Popen[bytes]") -> None:
    server.kill()
    server.wait()
    if server.stdout:
        server.stdout.close()


@pytest.mark.slow
def test_the_line_goes_on_without_any_server_and_without_last_words(runs: Path) -> None:
    """Two servers are killed; then a worker is, and another is told to pause, and each time the next one begins."""
    first = dashboard(runs, "a", 100_000)
    a = Job(runs / "a")
    until(a, lambda now: now.step >= 2)
    ended(first)
    # The worker is nobody's child any more, goes on, and is found again.
    before = a.status().step
    until(a, lambda now: now.state == "training" and now.step > before)
    for name, steps in (("b", 100_000), ("c", 4)):
        second = dashboard(runs, name, steps)
        ended(second)
    b, c = Job(runs / "b"), Job(runs / "c")
    assert (b.status().place, c.status().place) == (1, 2)

    os.kill(notes.read(a.folder / "worker.json")["pid"], signal.SIGKILL)
    until(b, lambda now: now.state == "training" and now.step >= 1)
    assert a.status().state == "failed" and a.status().cause == "killed"
    assert c.status().place == 1
    b.pause()
    done = until(c, lambda now: now.state == "finished")
    assert done.step == 4
    assert b.status().state == "paused"
    events, _ = read_events(c.folder / "events.jsonl")
    assert [event.event for event in events].count("started") == 1
    keeper = notes.read(c.folder / "keeper.json")["pid"]
    until(c, lambda _: not psutil.pid_exists(keeper))


@pytest.mark.slow
def test_two_processes_never_start_the_same_run(tiny: Config, runs: Path) -> None:
    """Real processes at the same line, with workers that only note that they began."""
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom lab import line, notes, process, status\n"
        "runs = Path(sys.argv[1])\n"
        "def spawn(folder):\n"
        "    with open(runs / 'begun.txt', 'a') as file: file.write(folder.name + '\\n')\n"
        "    notes.write(folder / 'status.json', {'state': 'finished', 'step': 1, 'steps': 1})\n"
        "process.spawn = spawn\n"
        "while not (runs / 'go').exists(): time.sleep(0.001)\n"
        "while line.tickets.waiting(runs): line.advance(runs)\n"
    )
    for number in range(30):
        folder = runs / f"run-{number}"
        folder.mkdir()
        notes.write(folder / "job.json", {"config": tiny.to_dict(), "steps": 1, "memory": 0, "disk": 0})
        tickets.take(folder)
    command = [sys.executable, "-c", script, str(runs)]
    both = [subprocess.Popen(command, cwd=ROOT, env=process.environment()) for _ in range(2)]
    time.sleep(8)
    (runs / "go").touch()
    assert [server.wait(60) for server in both] == [0, 0]
    assert (runs / "begun.txt").read_text().split() == [f"run-{number}" for number in range(30)]

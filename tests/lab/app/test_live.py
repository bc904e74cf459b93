"""Reading a run while it grows: only what is new, thinned for the screen, and right after a resume."""

import json
from pathlib import Path

import numpy as np

from lab.app.live import Record, thinned
from strawberry.events import Sampled, Step


def step(number: int, loss: float = 1.0) -> str:
    """One line of an event file."""
    return Step(number, loss, loss, 0.1, 0.2, number * 10, 100.0, number * 0.1).to_line()


def started(number: int) -> str:
    """The line that begins or resumes a run."""
    values = {
        "step": number,
        "steps": 9,
        "config": {},
        "parameters": 1,
        "data": "x",
        "tokens_train": 1,
        "device": "cpu",
    }
    more = {"bytes_per_token": 2.0, "tokens_per_step": 10, "precision": "fp32", "causal": True}
    return json.dumps({"event": "started", **values, **more}) + "\n"


def test_a_record_reads_on_and_forgets_what_a_resume_tells_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    record = Record(tmp_path).refresh()
    assert record.steps == []
    path.write_text(started(0) + step(1) + step(2, 2.0) + step(3)[:20])
    assert [event.step for event in record.refresh().steps] == [1, 2]
    path.write_text(started(0) + step(1) + step(2, 2.0) + step(3) + Sampled(3, "a", "b").to_line() + step(4))
    assert [event.step for event in record.refresh().steps] == [1, 2, 3, 4]
    with path.open("a") as file:
        file.write(started(2) + step(3, 7.0))
    record.refresh()
    assert [(event.step, event.loss) for event in record.steps] == [(1, 1.0), (2, 2.0), (3, 7.0)]
    assert not record.samples
    path.write_text(started(0) + step(1, 5.0))
    assert [(event.step, event.loss) for event in record.refresh().steps] == [(1, 5.0)]


def test_curves_are_thinned_to_averages_with_the_newest_as_it_is() -> None:
    steps, losses = list(range(1, 10_001)), [float(number % 2) for number in range(10_000)]
    x, y = thinned(steps, losses, points=100)
    assert len(x) <= 102
    assert (x[-1], y[-1]) == (10_000, losses[-1])
    assert np.allclose(y[:-1], 0.5)
    assert np.all(np.diff(x) > 0)
    x, y = thinned([1, 2], [3.0, 4.0])
    assert list(x) == [1, 2]

"""How experts shared the work stands beside the loss, told by the events of each training."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lab.ablate.cells import read
from lab.ablate.gathering import gather
from lab.ablate.queue import Board, work
from lab.ablate.results import Results
from lab.ablate.study import Study


@pytest.fixture
def trained(make: Callable[..., Study], begun: Callable[[Study], Path]) -> Path:
    experts = {"n_experts": 4, "top_k": 2, "n_layers": 2}
    folder = begun(make(variants={"plain": {}, "experts": experts}, learning_rates=[0.01], equal="steps", steps=20))
    work(folder)
    return folder


def finals(folder: Path) -> list[Path]:
    return sorted(folder.glob("cells/*.experts.*.s[012]-*/events.jsonl"))


def steps(path: Path) -> list[dict[str, list[float]]]:
    events = map(json.loads, path.read_text().splitlines())
    return [event["loads"] for event in events if event["event"] == "step"]


def test_the_last_tenth_of_the_steps_counts(trained: Path) -> None:
    plain, experts = gather(Board(trained), "").rows
    assert plain.routing is None and experts.routing is not None
    assert experts.routing.experts == 8
    evenness = []
    for path in finals(trained):
        late = steps(path)[-2:]
        for name in late[-1]:
            shares = np.mean([one[name] for one in late], axis=0)
            evenness.append(-(shares * np.log(np.maximum(shares, 1e-30))).sum() / np.log(4))
    assert len(evenness) == 6
    assert experts.routing.evenness == pytest.approx(np.mean(evenness))


def test_an_expert_that_nobody_asks_is_counted_as_dead(trained: Path) -> None:
    before = gather(Board(trained), "").row("experts", next(iter(Board(trained).study.data))).routing
    assert before is not None and before.dead == 0
    path = finals(trained)[0]
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        for shares in event.get("loads", {}).values():
            shares[0], shares[1] = 0.0, shares[0] + shares[1]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    after = gather(Board(trained), "").rows[1].routing
    # Two routers of one of three seeds.
    assert after is not None and after.dead == pytest.approx(2 / 3) and after.evenness < before.evenness


def test_a_router_that_was_not_asked_in_a_step_is_still_read(trained: Path) -> None:
    """A model may leave a layer out in a step; the mean is of the steps in which its router chose."""
    path = finals(trained)[0]
    events = [json.loads(line) for line in path.read_text().splitlines()]
    taken = [event for event in events if event["event"] == "step"]
    (left_out, _), last = taken[-2]["loads"].items(), taken[-1]["loads"]
    del taken[-2]["loads"][left_out[0]]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    loads = read(path.parent).loads
    assert set(loads) == set(last) and loads[left_out[0]] == pytest.approx(last[left_out[0]])


def test_results_without_loads_are_still_read(trained: Path) -> None:
    results = gather(Board(trained), "")
    path = results.write(trained)
    assert Results.read(trained) == results
    values = json.loads(path.read_text())
    for row in values["rows"]:
        del row["routing"]
    path.write_text(json.dumps(values))
    assert [row.routing for row in Results.read(trained).rows] == [None, None]

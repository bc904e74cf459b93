"""The queue: everything is trained once, in the right order, and whatever goes wrong is told and costs only itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.ablate import cells, queue
from lab.ablate.cells import Cell
from lab.ablate.command import tidy
from lab.ablate.gathering import IMPOSSIBLE, gather
from lab.ablate.progress import Clock, progress
from lab.ablate.queue import Board, work
from lab.ablate.results import Results
from lab.ablate.study import Study, StudyError
from strawberry.evaluate import Score
from strawberry.events import Step
from strawberry.learner import DivergedError, Learner
from strawberry.runs import open_run

Begun = Callable[[Study], Path]


def steps_told(folder: Path) -> dict[str, list[int]]:
    """The steps that each cell's events tell, in their order."""
    runs = {path.name: open_run(path) for path in (folder / "cells").iterdir()}
    return {name: [event.step for event in run.events() if isinstance(event, Step)] for name, run in runs.items()}


def untimed(results: Results) -> dict[str, Any]:
    """The results without what depends on the clock."""
    told = results.to_dict()
    for one in (*told["rows"], *told["cells"]):
        one.pop("seconds")
        one.pop("tokens_per_s", None)
    return told


@pytest.mark.slow
def test_a_study_from_beginning_to_end(make: Callable[..., Study], begun: Begun) -> None:
    study = make()
    folder = begun(study)
    board = Board(folder)
    before = progress(board)
    assert (before.cells, before.cells_done, before.steps, before.seconds_left) == (12, 0, 120, None)
    clock = Clock(board, 1)
    work(folder)
    after = clock.look()
    assert (after.cells, after.cells_done, after.share, after.running) == (12, 12, 1.0, ())
    assert after.sentence() == "12 of 12 trainings, 100% of the steps"
    assert steps_told(folder) == {name: list(range(1, 11)) for name in steps_told(folder)}

    results = gather(board, "strawberry ablate x")
    assert results.complete and [row.variant for row in results.rows] == ["attention", "aft"]
    [data] = study.data
    for row in results.rows:
        assert row.metric == "bits_per_byte" and not row.higher_is_better
        assert list(row.scores) == ["0", "1", "2"] and row.mean is not None and not row.void
        assert row.learning_rate is not None and f"{row.learning_rate:g}" in row.learning_rates
        assert row.learning_rates[f"{row.learning_rate:g}"] == min(filter(None, row.learning_rates.values()))
        assert (row.edge == "") == (row.learning_rate == 0.01)
        assert row.seconds and row.tokens_per_s and row.flops and row.state_size
    reference, other = results.rows
    assert reference.reference and abs(other.parameters / reference.parameters - 1) <= 0.01
    [verdict] = results.verdicts
    assert (verdict.variant, verdict.reference, verdict.data) == ("aft", "attention", data)
    assert verdict.word in ("better", "worse", "equal", "not enough evidence") and verdict.seeds == 3
    assert results.verdict("aft", data) is verdict and results.verdict("attention", data) is None
    finals = results.finals("aft", data)
    assert [one.seed for one in finals] == [0, 1, 2] and all(one.state == "done" for one in finals)
    assert all((folder / one.events).is_file() for one in results.cells)
    assert [step for step, *_ in finals[0].curve] == [5, 10]
    assert len(finals[0].training) == 10
    assert results.environments and len(results.cells) == 12

    path = results.write(folder)
    assert Results.read(folder) == Results.read(path) == results
    assert results.settings() == study

    # Nothing is left to do, and nothing is done again.
    changed = {path: path.stat().st_mtime_ns for path in (folder / "cells").rglob("*")}
    work(folder)
    assert changed == {path: path.stat().st_mtime_ns for path in (folder / "cells").rglob("*")}

    # What only served to choose a learning rate keeps its events and not its weights.
    tidy(board)
    assert [one.stage for one in results.cells if open_run(folder / "cells" / one.name).steps()] == ["final"] * 6
    assert not Board(folder).tasks() and gather(Board(folder), results.command) == results


def test_more_seeds_keep_what_is_there(make: Callable[..., Study], begun: Begun, tmp_path: Path) -> None:
    few, many = make(learning_rates=[0.01]), make(learning_rates=[0.01], seeds=(0, 1, 2, 3))
    folder = begun(few)
    assert len(Board(folder).tasks()) == 6
    work(folder)
    board = Board(folder, many)
    assert [task.cell.seed for task in board.tasks()] == [3, 3]
    results = gather(board, "")
    assert not results.complete
    assert results.verdicts[0].word == "pending" and "2 of 8 trainings are missing" in results.verdicts[0].sentence


def test_names_are_stable_and_tell_apart(make: Callable[..., Study], text_file: str) -> None:
    board = Board(Path("x"), make())
    names = [task.cell.name for task in board.tasks()]
    assert len(set(names)) == len(names) == 6
    assert names == [task.cell.name for task in Board(Path("y"), make(question="Another?")).tasks()]
    assert not set(names) & {task.cell.name for task in Board(Path("x"), make(steps=11)).tasks()}
    assert all(len(name) <= 64 for name in names)


@pytest.mark.parametrize(
    "other", [{"mixer": "aft"}, {"batch_size": 1}, {"seq_len": 8}, {"vocab_size": 300}, {"train_fraction": 0.5}]
)
def test_the_same_batches_are_claimed_where_they_are(make: Callable[..., Study], other: dict[str, Any]) -> None:
    study = make(variants={"attention": {}, "other": other}, learning_rates=[0.01], equal="steps")
    told = " ".join(gather(Board(Path("nowhere"), study), "").fixed)
    assert ("all variants see the same batches" in told) == ("mixer" in other)
    assert ("neither the order of the data is the same" in told) == ("mixer" not in other)


def test_two_workers_share(make: Callable[..., Study], begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a cell is held by one, another passes it by, waits for it in the end, and takes it over when it is free."""
    folder = begun(make(learning_rates=[0.01]))
    board = Board(folder)
    held = board.tasks()[0].cell
    lock = board.claim(held)
    assert lock is not None and Board(folder).claim(held) is None
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        assert [task.cell.name for task in board.tasks()] == [held.name]
        if len(naps) == 2:
            lock.release()

    monkeypatch.setattr(queue.time, "sleep", nap)
    work(folder)
    assert naps == [queue.POLL] * 2
    assert not board.tasks()


def test_a_worker_that_is_asked_to_stop_has_saved(make: Callable[..., Study], begun: Begun) -> None:
    study = make(learning_rates=[0.01], evaluations=1)
    folder, whole = begun(study), begun(make(learning_rates=[0.01], evaluations=1, name="whole"))
    calls = iter(range(1000))
    work(folder, lambda: next(calls) >= 4)
    [path] = (folder / "cells").iterdir()
    assert 0 < max(open_run(path).steps()) < 10
    work(folder)
    work(whole)
    assert untimed(gather(Board(folder), "")) == {
        **untimed(gather(Board(whole), "")),
        "study": study.to_dict(),
    }


@pytest.mark.slow
def test_what_diverges_is_not_tried_again_and_voids(
    make: Callable[..., Study], begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Learner.learn

    def diverging(self: Learner, batches: Any, step: int, steps: int) -> Any:
        config = self.config
        if step == 3 and config.mixer == "aft" and (config.learning_rate > 0.02 or config.seed == 1):
            raise DivergedError(f"the loss of step {step + 1} is not finite; the weights of step {step} are kept")
        return learn(self, batches, step, steps)

    monkeypatch.setattr(Learner, "learn", diverging)
    folder = begun(make())
    work(folder)
    results = gather(Board(folder), "")
    assert results.complete
    aft = results.row("aft", next(iter(results.settings().data)))
    assert aft.learning_rates["0.03"] is None and aft.learning_rate in (0.0033, 0.01)
    assert "aft diverged on" in aft.void and "seed 1" in aft.void
    assert results.voided == [aft]
    assert results.verdicts[0].word == "void" and results.verdicts[0].sentence == aft.void
    assert sorted(one.state for one in results.cells).count("diverged") == 2


def test_an_evaluation_that_is_not_finite_is_no_score(make: Callable[..., Study], begun: Begun) -> None:
    """The last update may break a model whose last loss was sound: neither is its rate chosen, nor is it judged."""
    folder = begun(make())
    work(folder)
    board = Board(folder)
    [data] = board.study.data
    chosen = board.standing("aft", data).chosen
    trial = next(cell for cell in board.trials("aft", data) if cell.rate == chosen)
    final = board.finals("attention", data)[1]
    for cell, broken in ((trial, "NaN"), (final, "Infinity")):
        path = board.path(cell) / "events.jsonl"
        events = [json.loads(line) for line in path.read_text().splitlines()]
        last = [event for event in events if event["event"] == "evaluated"][-1]
        last["loss"] = last["bits_per_byte"] = broken
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
    board = Board(folder)
    assert board.record(trial).diverged == "the validation loss of step 10 is not finite"
    assert board.standing("aft", data).chosen not in (None, chosen)
    results = gather(board, "")
    assert "attention diverged on" in results.row("attention", data).void
    assert results.verdicts[0].word == "void"
    assert sorted(results.row("attention", data).scores) == ["0", "2"]
    assert [one.state for one in results.cells].count("diverged") == 2
    # Readers of JSON other than Python know no infinity.
    json.dumps(results.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_what_cannot_be_trained_is_noted_and_forgiven(
    make: Callable[..., Study], begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = cells.train

    def failing(cell: Cell, *rest: Any) -> None:
        if cell.variant == "aft" and cell.rate == 0.01:
            raise RuntimeError("out of memory")
        train(cell, *rest)

    monkeypatch.setattr(cells, "train", failing)
    folder = begun(make())
    work(folder)
    board = Board(folder)
    results = gather(board, "")
    assert "aft could not be trained on" in results.rows[1].void and "out of memory" in results.rows[1].void
    assert [one.why for one in results.cells if one.state == "failed"] == ["RuntimeError: out of memory"]
    monkeypatch.setattr(cells, "train", train)
    board.forgive()
    work(folder)
    assert gather(board, "").complete and not gather(board, "").voided


@pytest.mark.parametrize("gate", [True, False])
def test_a_failed_control_voids_its_data(make: Callable[..., Study], begun: Begun, gate: bool) -> None:
    """With a gate, nothing else is trained on that data; other data stand."""
    data = {"dyck:kinds=2,length=16": {}, "dyck:kinds=3,length=16": {}}
    control = {"dyck:kinds=2,length=16": ("attention", 0.99)}
    folder = begun(make(data=data, control=control, gate=gate, learning_rates=[0.01]))
    work(folder)
    results = gather(Board(folder), "")
    first = next(iter(data))
    assert results.complete
    for row in results.rows:
        assert row.metric == "accuracy" and row.higher_is_better
        assert bool(row.void) == (row.data == first)
    assert results.row("aft", first).void.startswith("The control attention reached an accuracy of 0.")
    assert "had to reach 0.99" in results.row("aft", first).void
    assert len(results.row("aft", first).scores) == (0 if gate else 3)
    assert [one.word == "void" for one in results.verdicts] == [True, False]
    assert progress(Board(folder)).share == 1.0
    passed = make(data=data, control={first: ("attention", 0.001)}, gate=gate, learning_rates=[0.01])
    board = Board(folder, passed)
    work_left = [task.cell.variant for task in board.tasks()]
    assert work_left == (["aft"] * 3 if gate else [])


def test_a_leaky_variant_has_no_rank(make: Callable[..., Study], begun: Begun) -> None:
    leaky = {"preset": "strawberry-leaky-pico", "mixer": "aft", "n_experts": 1, "top_k": 1, "windows": [0]}
    folder = begun(make(variants={"attention": {}, "leaky": leaky}, equal="steps", learning_rates=[0.01]))
    work(folder)
    results = gather(Board(folder), "")
    assert not results.rows[1].causal
    assert results.verdicts[0].word == "not ranked" and "reads the future" in results.verdicts[0].sentence
    assert results.verdicts[0].gain is not None


def test_an_impossible_loss_is_known_by_its_words() -> None:
    assert IMPOSSIBLE in Score(loss=0.5, bits_per_byte=None, tokens=1000, floor=1.0, gap_error=0.01).alarm


def test_results_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there are no results"):
        Results.read(tmp_path)
    (tmp_path / "results.json").write_text('{"format": 1}')
    with pytest.raises(StudyError, match="is damaged"):
        Results.read(tmp_path)
    (tmp_path / "results.json").write_text('{"format": 0}')
    with pytest.raises(StudyError, match="another version"):
        Results.read(tmp_path)

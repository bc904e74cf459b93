"""Engines: workers are started, end when nothing is left, stop when asked, and tell what went wrong."""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.ablate import engines
from lab.ablate.engines import Engine
from lab.ablate.queue import Board
from lab.ablate.study import Study, StudyError
from strawberry.runs import open_run

OPTIONS = {"local": {}, "submitit": {"cluster": "local"}, "ray": {}}
# Ray kills its processes when it ends, and does not wait for them.
LEFT = {"ray": pytest.mark.filterwarnings(r"ignore:subprocess \d+ is still running$:ResourceWarning")}
PATIENCE = 600.0


def wait(holds: Callable[[], bool], engine: Engine) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, engine.trouble()
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=LEFT.get(name, ())) for name in engines.ENGINES])
def test_an_engine_runs_a_study(name: str, make: Callable[..., Study], begun: Callable[[Study], Path]) -> None:
    folder = begun(make(learning_rates=[0.01]))
    engine = engines.start(name, folder, 2, 1, OPTIONS[name])
    try:
        assert 0 < engine.alive() <= 2
        wait(lambda: not engine.alive(), engine)
        assert engine.trouble() == []
    finally:
        engine.stop()
        # Here, and not in a test that comes after it, is where such a warning may be.
        gc.collect()
    assert not Board(folder).tasks()
    assert len(list((folder / "cells").iterdir())) == 6


@pytest.mark.slow
def test_local_workers_save_when_they_are_stopped(make: Callable[..., Study], begun: Callable[[Study], Path]) -> None:
    folder = begun(make(learning_rates=[0.01], steps=100_000, evaluations=1))
    engine = engines.start("local", folder, 1, 1, {})
    wait(lambda: any(folder.glob("cells/*/events.jsonl")), engine)
    engine.stop()
    assert engine.alive() == 0
    assert engine.trouble() == []
    [cell] = (folder / "cells").iterdir()
    steps = open_run(cell).steps()
    assert steps and steps[-1] < 100_000


@pytest.mark.slow
def test_a_local_worker_that_dies_is_told_of(make: Callable[..., Study], begun: Callable[[Study], Path]) -> None:
    folder = begun(make(learning_rates=[0.01], steps=100_000))
    engine = engines.start("local", folder, 1, 1, {})
    [worker] = [child for child in psutil.Process().children() if "lab.ablate.worker" in child.cmdline()]
    worker.kill()
    wait(lambda: not engine.alive(), engine)
    assert engine.trouble() == ["worker 0 was ended by signal 9"]
    damaged = folder / "damaged"
    damaged.mkdir()
    (damaged / "study.json").write_text("{}")
    engine = engines.start("local", damaged, 1, 1, {})
    wait(lambda: not engine.alive(), engine)
    assert "worker 0 failed; " in engine.trouble()[0] and "0.log says why" in engine.trouble()[0]


def test_options_that_an_engine_does_not_know(make: Callable[..., Study], begun: Callable[[Study], Path]) -> None:
    folder = begun(make(learning_rates=[0.01]))
    with pytest.raises(StudyError, match="submitit refuses these options"):
        engines.start("submitit", folder, 1, 1, {"cluster": "local", "partitoin": "gpu"})
    with pytest.raises(StudyError, match="ray could not be started"):
        engines.start("ray", folder, 1, 1, {"colour": "red"})


@pytest.mark.parametrize("name", engines.ENGINES)
def test_a_folder_without_a_study_is_refused(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(StudyError, match="there is no study in"):
            engines.start(name, folder, 1, 1, OPTIONS[name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "attempts"),
    [("Timed out waiting for file port", 3), ("The current node timed out during startup.", 3), ("no memory", 1)],
)
def test_ray_gets_more_time_where_it_ran_out_of_it(
    said: str, attempts: int, make: Callable[..., Study], begun: Callable[[Study], Path], monkeypatch: Any
) -> None:
    from lab.ablate.engines import ray

    asked: list[dict[str, Any]] = []

    def init(**options: Any) -> None:
        asked.append(options)
        raise RuntimeError(said)

    monkeypatch.setattr(ray.ray, "init", init)
    with pytest.raises(StudyError, match=f"ray could not be started: {said}"):
        engines.start("ray", begun(make(learning_rates=[0.01])), 1, 1, {})
    assert len(asked) == attempts

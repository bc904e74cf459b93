"""Engines: workers are started, end when nothing is left, stop when asked, and tell what went wrong."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lab.ablate import engines
from lab.ablate.engines import Engine
from lab.ablate.queue import Board
from lab.ablate.study import Study, StudyError
from strawberry.runs import open_run

OPTIONS = {"local": {}, "submitit": {"cluster": "local"}, "ray": {}}
PATIENCE = 200.0


def wait(holds: Callable[[], bool], engine: Engine) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, engine.trouble()
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", engines.ENGINES)
@pytest.mark.filterwarnings("ignore::FutureWarning:ray", "ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_an_engine_runs_a_study(name: str, make: Callable[..., Study], begun: Callable[[Study], Path]) -> None:
    folder = begun(make(learning_rates=[0.01]))
    engine = engines.start(name, folder, 2, 1, OPTIONS[name])
    try:
        assert 0 < engine.alive() <= 2
        wait(lambda: not engine.alive(), engine)
        assert engine.trouble() == []
    finally:
        engine.stop()
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
    empty = folder / "nothing"
    empty.mkdir()
    engine = engines.start("local", empty, 1, 1, {})
    wait(lambda: not engine.alive(), engine)
    assert "worker 0 failed; " in engine.trouble()[0] and "0.log says why" in engine.trouble()[0]


def test_options_that_an_engine_does_not_know(make: Callable[..., Study], begun: Callable[[Study], Path]) -> None:
    folder = begun(make(learning_rates=[0.01]))
    with pytest.raises(StudyError, match="submitit refuses these options"):
        engines.start("submitit", folder, 1, 1, {"cluster": "local", "partitoin": "gpu"})
    with pytest.raises(StudyError, match="ray could not be started"):
        engines.start("ray", folder, 1, 1, {"colour": "red"})

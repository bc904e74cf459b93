"""The default text is prepared ahead, and nobody prepares it twice at once."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from lab import prepare


def hold(folder: str, ready: Any) -> None:
    """Hold the lock for a second, in another process."""
    import os

    os.environ["STRAWBERRY_CACHE"] = folder
    with prepare.turn() as had:
        assert had
        ready.set()
        time.sleep(1.0)


def test_whoever_comes_second_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRAWBERRY_CACHE", str(tmp_path))
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(str(tmp_path), ready))
    holder.start()
    assert ready.wait(60)
    with prepare.turn(0.0) as had:
        assert not had
    with prepare.turn(30.0) as had:
        assert had
    holder.join(30)


def test_a_cache_that_cannot_be_written_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STRAWBERRY_CACHE", str(tmp_path / "file" / "cache"))
    with prepare.turn() as had:
        assert not had


def test_the_default_text_is_prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRAWBERRY_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr("strawberry.data.load", lambda data, config: asked.append((data, config.vocab_size)))
    prepare.main()
    assert asked == [("sotu", 1024)]

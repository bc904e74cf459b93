"""The log holds whole lines, is read while it grows, and is cut to a step."""

import errno
import os
from pathlib import Path

import pytest

from strawberry.errors import RunError
from strawberry.eventlog import EventLog, read_events
from strawberry.events import Evaluated, Event, Finished, Saved, Step, Warned


def _step(step: int) -> Step:
    return Step(step, 1.0, 1.0, 0.1, 0.1, step * 8, 10.0, 0.1)


def _log(path: Path, *events: Event) -> EventLog:
    log = EventLog(path)
    for event in events:
        log.append(event)
    return log


def test_a_cursor_reads_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(path) == ([], 0)
    log = _log(path, _step(1))
    events, cursor = read_events(path)
    assert events == [_step(1)]
    assert read_events(path, cursor) == ([], cursor)
    log.append(_step(2))
    events, cursor = read_events(path, cursor)
    assert events == [_step(2)]
    assert cursor == path.stat().st_size
    log.close()
    log.close()


def test_a_half_written_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = Warned("a \N{STRAWBERRY}").to_line().encode()
    for length in range(len(whole)):
        path.write_bytes(whole + whole[:length])
        events, cursor = read_events(path)
        assert (events, cursor) == ([Warned("a \N{STRAWBERRY}")], len(whole))
    path.write_bytes(whole + whole)
    assert len(read_events(path, cursor)[0]) == 1


def test_an_unreadable_line_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [_step(1).to_line().encode(), b"\xff{not json\n", b'{"event": "later"}\n', _step(2).to_line().encode()]
    path.write_bytes(b"".join(lines))
    events, _ = read_events(path)
    assert [event.event for event in events] == ["step", "warned", "warned", "step"]


def test_reading_starts_over_when_the_file_has_shrunk(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = _log(path, *(_step(step) for step in range(1, 9)))
    _, cursor = read_events(path)
    log.cut(2)
    assert [event.step for event in read_events(path, cursor)[0] if isinstance(event, Step)] == [1, 2]
    log.close()


@pytest.mark.parametrize("tail", [b"", b'{"event": "st'])
def test_cut_drops_what_came_after(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "events.jsonl"
    kept = [_step(1), Warned("early"), _step(2), Evaluated(2, 1.0, 1.0), Saved(2, "checkpoints/step-2")]
    log = _log(path, *kept, _step(3), Warned("late", 3), Finished(3, "stopped"))
    with path.open("ab") as file:
        file.write(tail)
    log.cut(2)
    assert read_events(path)[0] == kept
    log.append(_step(3))
    assert read_events(path)[0] == [*kept, _step(3)]
    log.cut(-1)
    assert path.read_bytes() == b""
    log.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    log = _log(path, _step(1))
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:10]))
    with pytest.raises(RunError, match="the disk is full"):
        log.append(_step(2))

    def refuse(handle: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(RunError, match="No space left"):
        log.append(_step(2))
    monkeypatch.undo()
    log.append(_step(3))
    assert read_events(path)[0] == [_step(1), _step(3)]
    log.close()

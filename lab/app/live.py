"""What the pages read of a run while it grows: events by cursor, probes and figures from bounded caches."""

import dataclasses
import threading
from collections import deque
from pathlib import Path

import numpy as np
import streamlit as st

from lab import notes, recorded
from lab.probe import Probe
from strawberry.eventlog import read_events
from strawberry.events import Evaluated, Event, Finished, Sampled, Started, Step, Warned

POINTS = 600  # most points of a curve that are sent to the browser


class Record:
    """The events of a run so far; :meth:`refresh` reads only what is new since the last time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: Started | None = None
        self.steps: list[Step] = []
        self.evaluated: list[Evaluated] = []
        self.samples: deque[Sampled] = deque(maxlen=20)
        self.warnings: deque[Warned] = deque(maxlen=20)
        self.finished: Finished | None = None
        self._cursor = 0
        self._lock = threading.Lock()

    def refresh(self) -> "Record":
        """Read on from where the last call ended; returns itself."""
        with self._lock:
            events, cursor = read_events(self.folder / "events.jsonl", self._cursor)
            if cursor < self._cursor:
                self._forget(-1)
            self._cursor = cursor
            for event in events:
                self._take(event)
        return self

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and training losses in nats per token, averaged down to at most :data:`POINTS` points."""
        return thinned([step.step for step in self.steps], [step.loss for step in self.steps])

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and one field of the step events, averaged down in the same way."""
        return thinned([step.step for step in self.steps], [getattr(step, name) for step in self.steps])

    @property
    def accuracy(self) -> tuple[list[int], list[float]]:
        """Steps and shares of right answers, of a task."""
        scored = [(event.step, event.accuracy) for event in self.evaluated if event.accuracy is not None]
        return [step for step, _ in scored], [share for _, share in scored]

    @property
    def floor(self) -> float | None:
        """Nats per token that no honest model can beat, of a source."""
        return self.evaluated[-1].floor if self.evaluated else None

    @property
    def validation(self) -> tuple[list[int], list[float]]:
        """Steps and validation losses in nats per token."""
        return [event.step for event in self.evaluated], [event.loss for event in self.evaluated]

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            # A resumed run tells again what came after its checkpoint.
            self._forget(event.step)
            self.started, self.finished = event, None
        elif isinstance(event, Step):
            self.steps.append(Step(**{**vars(event), "loads": {}}))
        elif isinstance(event, Evaluated):
            self.evaluated.append(event)
        elif isinstance(event, Sampled):
            self.samples.append(event)
        elif isinstance(event, Warned):
            self.warnings.append(event)
        elif isinstance(event, Finished):
            self.finished = event

    def _forget(self, after: int) -> None:
        self.steps = [event for event in self.steps if event.step <= after]
        self.evaluated = [event for event in self.evaluated if event.step <= after]
        self.samples = deque((event for event in self.samples if event.step <= after), maxlen=20)


def thinned(steps: list[int], values: list[float], points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Averages over equal runs of neighbours, so that at most ``points`` are left; the newest is kept as it is."""
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if len(x) <= points:
        return x, y
    width = -(-len(x) // points)
    whole = (len(x) - 1) // width * width
    mean = y[:whole].reshape(-1, width).mean(axis=1)
    return np.append(x[:whole].reshape(-1, width)[:, -1], x[-1]), np.append(mean, y[-1])


def record(folder: Path) -> Record:
    """The run's record, brought up to date."""
    # A new worker may have cut the file and written past the cursor since: then reading starts over.
    return _record(str(folder), notes.read(folder / "worker.json").get("created", 0.0)).refresh()


@st.cache_resource(max_entries=8, ttl=3600, show_spinner=False)
def _record(folder: str, worker: float) -> Record:
    del worker
    return Record(Path(folder))


def probe(folder: Path, step: int) -> Probe | None:
    """The probe taken at a step, or None when it has been thinned away meanwhile."""
    path = recorded.probe_path(folder, step)
    try:
        return _probe(str(path), path.stat().st_mtime_ns)
    except OSError:
        return None


@st.cache_resource(max_entries=12, ttl=900, show_spinner=False)
def _probe(path: str, changed: int) -> Probe:
    del changed
    taken = Probe.load(path)
    # A run that was renamed, or came from elsewhere, is called as its folder is.
    return dataclasses.replace(taken, meta={**taken.meta, "run": Path(path).parent.parent.name})

"""What ``benchmarks/mixers.py`` times and weighs: cells, each one call of one mixer at one length, sampled in turn."""

import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Read when torch is loaded: threads wait as in all of this package, and the profiler says nothing of its own.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch
from torch.profiler import ProfilerActivity, profile


@dataclass
class Cell:
    """One thing to time: a mixer (or ``sdpa``) in one form and mode, at one length."""

    mixer: str
    form: str  # mixer, naive or sdpa
    mode: str  # forward, forward+backward or decode
    seq: int
    run: Callable[[], Any]
    tokens: int = 1  # that a run stands for, where time is per token
    warm: bool = False  # run once untimed before each sample, so that the cell before it leaves no cold caches
    calls: int = 1
    rounds: int = 0
    samples: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def sample(self, device: str) -> float:
        """Seconds of one run, the mean of ``calls``."""
        if self.warm:
            self.run()
            _settle(device)
        begun = time.perf_counter()
        for _ in range(self.calls):
            self.run()
        _settle(device)
        return (time.perf_counter() - begun) / self.calls / self.tokens

    def row(self) -> dict[str, Any]:
        """What is written down."""
        return {
            "mixer": self.mixer, "form": self.form, "mode": self.mode, "seq": self.seq,
            "seconds": statistics.median(self.samples), "lowest": min(self.samples), "highest": max(self.samples),
            "samples": len(self.samples), "peak_bytes": self.peak_bytes,
        }  # fmt: skip


def _settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak(run: Callable[[], Any], device: str) -> int:
    """The most bytes that ``run`` holds at once beyond what was there before.

    On a GPU by ``torch.cuda.max_memory_allocated``. On a CPU the running sum of every allocation and release that
    ``torch.profiler`` records: the same on every run, and within 3 % of the growth of a fresh process's resident set
    where the C library gives each block pages of its own (seven mixers at T = 4096). As that library is set up, its
    holes come on top, up to as much again.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    told: Any = recorded.profiler.kineto_results.events()
    events = [event for event in told if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@dataclass
class Bench:
    """What is measured, and with how much patience."""

    device: str
    lengths: list[int]
    limit: float  # seconds: a cell whose one run would take longer is left out
    budget: float  # seconds of samples per cell
    rounds: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    # The newest warm-up time of each (mixer, form, mode), and how it grew with the last doubling.
    known: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)

    def skip(self, mixer: str, form: str, mode: str, seq: int, why: str) -> None:
        """Leave a cell out and say why."""
        self.skipped.append({"mixer": mixer, "form": form, "mode": mode, "seq": seq, "why": why})
        print(f"  left out: {mixer} ({form}), {mode}, T = {seq}: {why}", flush=True)

    def admit(self, cell: Cell) -> bool:
        """Warm a cell up, measure its memory and decide on its repeats; False where it would take too long."""
        key = (cell.mixer, cell.form, cell.mode)
        last, growth = self.known.get(key, (0.0, 4.0))
        if last * growth > self.limit:
            self.known[key] = (last * growth, growth)
            self.skip(*key, cell.seq, f"one run would take about {last * growth:.1f} s")
            return False
        cell.peak_bytes = peak(cell.run, self.device)
        took = cell.sample(self.device)
        self.known[key] = (took, min(max(took / last, 2.0), 4.0) if last else 4.0)
        # A sample of ten milliseconds or more, that the clock's own cost is lost in.
        cell.calls = max(1, math.ceil(0.01 / took))
        cell.rounds = min(self.rounds, max(3, round(self.budget / (took * cell.calls))))
        if took > self.budget:
            # Long enough to need no warming up.
            cell.samples, cell.rounds = [took], 2
        return True

    def take(self, cells: list[Cell]) -> None:
        """Sample all cells in turn, round by round; those that are sampled less often, at even distances."""
        turns = max((cell.rounds for cell in cells), default=0)
        for turn in range(turns):
            for cell in cells:
                if (turn + 1) * cell.rounds // turns > turn * cell.rounds // turns:
                    cell.samples.append(cell.sample(self.device))
        self.rows += [cell.row() for cell in cells]

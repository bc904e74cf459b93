"""What watching costs: tokens per second of a training with the dashboard open in Chromium, against the same one alone.

    python benchmarks/live_views.py --rounds 3 --seconds 60

Alternates between the two in one run. *Alone* is `strawberry.train.Trainer` in a process of its own, with nothing
looking. *Watched* is what the dashboard starts: the worker takes pictures, the server draws them, and Chromium shows
the Train, Retention, Experts and Attention pages for a quarter of the time each, gone to by their links, following the
newest picture. Opening the dashboard is not part of what is measured; everything after it is.
Prints the ratio (above 1 means that watching costs nothing) and writes benchmarks/results/live_views.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dashboard_browser import chromium
from dashboard_server import ROOT, server

import strawberry
from lab import jobs
from strawberry.eventlog import read_events
from strawberry.events import Step

RESULT = ROOT / "benchmarks" / "results" / "live_views.json"
PAGES = ("Train", "Retention", "Experts", "Attention and AFT")
# Long enough that neither evaluation nor a checkpoint falls into the time that is measured.
STEPS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="strawberry-nano")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured time of each training")
    parser.add_argument("--warmup", type=float, default=8.0, help="seconds of training before the measurement")
    parser.add_argument("--alone", metavar="FOLDER", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        train_alone(asked.alone, asked.preset)
        return
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"note: the load is {load:.1f} before the start; on a busy machine the ratio means little")
    rounds = []
    with tempfile.TemporaryDirectory() as folder, server(Path(folder) / "runs") as (address, _):
        for number in range(asked.rounds):
            alone = measure_alone(Path(folder) / "alone" / f"{number}", asked)
            watched = measure_watched(Path(folder) / "runs", f"watched-{number}", address, asked)
            rounds.append({"alone": alone, "watched": watched, "ratio": watched / alone})
            print(
                f"round {number + 1}: alone {alone:,.0f}, watched {watched:,.0f} tokens/s, ratio {watched / alone:.3f}"
            )
    ratio = statistics.median(found["ratio"] for found in rounds)
    print(f"watched / alone: {ratio:.3f} (median of {len(rounds)}); the aim is at least 0.90")
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "load_before": load}
    RESULT.parent.mkdir(exist_ok=True)
    told = {"preset": asked.preset, "seconds": asked.seconds, "machine": machine, "rounds": rounds, "ratio": ratio}
    RESULT.write_text(json.dumps(told, indent=1) + "\n")


def train_alone(folder: str, preset: str) -> None:
    """Train until ended from outside."""
    from strawberry.train import Trainer

    for _ in Trainer(strawberry.preset(preset), "sotu", folder, STEPS):
        pass


def measure_alone(folder: Path, asked: argparse.Namespace) -> float:
    """Tokens per second of a training that nobody looks at."""
    folder.parent.mkdir(exist_ok=True)
    child = subprocess.Popen([sys.executable, __file__, "--alone", str(folder), "--preset", asked.preset], cwd=ROOT)
    try:
        begun(folder)
        time.sleep(asked.warmup)
        with ThreadPoolExecutor() as pool:
            return pool.submit(speed, folder, asked.seconds).result()
    finally:
        child.kill()
        child.wait()


def measure_watched(runs: Path, name: str, address: str, asked: argparse.Namespace) -> float:
    """Tokens per second of a training that the dashboard started and a browser shows."""
    job = jobs.start(runs, name, strawberry.preset(asked.preset), "sotu", STEPS)
    try:
        with chromium() as browser, ThreadPoolExecutor() as pool:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(f"{address}/?run={name}")
            begun(job.folder)
            page.wait_for_timeout(asked.warmup * 1000)
            found, began = pool.submit(speed, job.folder, asked.seconds), time.monotonic()
            for number, where in enumerate(PAGES):
                page.get_by_role("link", name=where, exact=True).first.click()
                page.wait_for_timeout(1000 * max(0.0, began + (number + 1) * asked.seconds / 4 - time.monotonic()))
            return found.result()
    finally:
        job.kill()


def begun(folder: Path, patience: float = 120.0) -> None:
    """Wait until the first step is done."""
    end = time.monotonic() + patience
    while tokens(folder) == 0:
        if time.monotonic() > end:
            sys.exit(f"no step was done in {folder} within {patience:.0f} s")
        time.sleep(0.2)


def speed(folder: Path, seconds: float) -> float:
    """Tokens per second of wall time over about the next ``seconds``, from the end of one step to that of another."""
    ends: list[tuple[float, int]] = []
    until, cursor = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        events, cursor = read_events(folder / "events.jsonl", cursor)
        if steps := [event.tokens for event in events if isinstance(event, Step)]:
            ends.append((time.monotonic(), steps[-1]))
        time.sleep(0.05)
    # The first look finds steps that ended some time ago.
    (began, first), (ended, last) = ends[1], ends[-1]
    return (last - first) / (ended - began)


def tokens(folder: Path) -> int:
    """Tokens that the run has trained on so far."""
    events, _ = read_events(folder / "events.jsonl")
    return max((event.tokens for event in events if isinstance(event, Step)), default=0)


if __name__ == "__main__":
    main()

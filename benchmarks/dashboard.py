"""How long a person waits for the dashboard, what it sends them, and what it keeps in memory, in a real browser.

    python benchmarks/dashboard.py                             # everything, about 80 minutes, on a machine at rest
    python benchmarks/dashboard.py --quick --only scrub long   # a look: few repetitions; the results are not kept

Chromium opens a dashboard over runs of nano size, trained at the start, and a stopwatch in the page tells
(`dashboard_browser.js`): from the key or click to the moment when the last figure in sight is painted, with the new
numbers. Parts:

first   from the navigation to the first page's form: the server just started, and warm; each with an empty cache
scrub   per page and scrubber (training step, loop): key or click -> redrawn, bytes over the websocket, longest task;
        half of the steps are looked at for the first time
tabs    ten tabs at once, each scrubbing somewhere else and checked for the right answer
long    a text of 1000 tokens: each page opened and scrubbed, the longest task of the browser's main thread
memory  the server's resident memory while a nano trains beside it and a tab looks at it, going from page to page each
        minute: the slope per hour, with a 95 % interval, after the first sixth of ``--minutes``

What the dashboard costs the training is measured by `live_views.py`. Results go to benchmarks/results/dashboard.json;
parts that were not asked for keep what they had there.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import dashboard_runs as runs
import numpy as np
from dashboard_browser import Tab, chromium
from dashboard_server import ROOT, server
from scipy import stats

import strawberry
from lab import jobs, recorded

RESULT = ROOT / "benchmarks" / "results" / "dashboard.json"
VIEWS = ("retention", "experts", "attention", "recursion", "compare")
# Among filmstrips all passes are in sight at once, so that the loop moves nothing.
ADDRESS = {"compare": "&view=Who%20reads%20whom"}
PARTS = ("first", "scrub", "tabs", "long", "memory")
TABS = 10
SAMPLE = 5.0  # seconds between two readings of the server's memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to measure")
    parser.add_argument("--scrubs", type=int, default=40, help="scrubs per page and scrubber")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to watch the memory")
    parser.add_argument("--quick", action="store_true", help="few repetitions, one minute, nothing kept")
    asked = parser.parse_args()
    if asked.quick:
        asked.scrubs, asked.minutes = 6, min(asked.minutes, 1.0)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"note: the load is {load:.1f} before the start; on a busy machine times mean little")
    found: dict[str, Any] = {}
    measures = {"first": first, "scrub": scrub, "tabs": tabs, "long": long, "memory": memory}
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        place = Path(folder) / "runs"
        if {"scrub", "tabs"} & set(asked.only):
            base = runs.trained(place / "base", 4 if asked.quick else 24, 2)
            runs.copies(base, [f"scrub-{view}" for view in VIEWS])
        for part in asked.only:
            print(f"{part} …", flush=True)
            found[part] = measures[part](place, browser, asked)
            print(json.dumps(found[part], indent=1), flush=True)
    if not asked.quick:
        keep(found, {"platform": platform.platform(), "cores": os.cpu_count(), "load_before": round(load, 2)})


def keep(found: dict[str, Any], machine: dict[str, Any]) -> None:
    """Write what was measured, beside what was not measured this time."""
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    told = {**before, **{part: {**result, "machine": machine} for part, result in found.items()}}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({part: told[part] for part in PARTS if part in told}, indent=1) + "\n")


def first(place: Path, browser: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """Seconds until the first page shows its form: after the server's start, and once it is warm."""
    began = time.monotonic()
    with server(place) as (address, _):
        served = time.monotonic()
        cold = opened(browser, address)
        started = time.monotonic() - began
        warm = [opened(browser, address) for _ in range(3 if asked.quick else 9)]
    return {
        "cold_s": round(cold, 2), "warm_s": round(statistics.median(warm), 2), "warm_worst_s": round(max(warm), 2),
        "server_up_s": round(served - began, 2), "from_command_s": round(started, 2),
    }  # fmt: skip


def opened(browser: Any, address: str) -> float:
    """Seconds from the navigation to the form, with an empty cache."""
    tab = Tab(browser)
    began = time.monotonic()
    tab.page.goto(address, wait_until="commit")
    tab.page.get_by_role("heading", name="Train a Strawberry").wait_for()
    tab.page.get_by_role("button", name="Start training").wait_for()
    took = time.monotonic() - began
    tab.close()
    return took


def scrub(place: Path, browser: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """Every page's two scrubbers, each page over a copy of the run that nobody has looked at."""
    with server(place) as (address, _):
        return {view: scrubbed(browser, address, view, place / f"scrub-{view}", asked.scrubs) for view in VIEWS}


def scrubbed(browser: Any, address: str, view: str, run: Path, count: int) -> dict[str, Any]:
    """One page's answers to its scrubbers: medians, and the worst of what is sent and of the browser's tasks."""
    tab, steps = Tab(browser), recorded.probes(run)
    tab.open(f"{address}/{view}?run={run.name}&step={steps[-1]}{ADDRESS.get(view, '')}")
    told: dict[str, list[dict[str, Any]]] = {"step": [], "loop": []}
    last, place = len(steps) - 1, len(steps) - 1
    for number in range(count):
        # Down to the first picture and up again: on the way down all are new.
        down = number // last % 2 == 0
        place += -1 if down else 1
        tab.press("ArrowLeft" if down else "ArrowRight")
        tab.still()
        told["step"].append(tab.told())
        assert tab.shows(steps[place]), f"a figure of {view} stayed behind: {told['step'][-1]['abouts']}"
    for number in range(count):
        tab.choose(f"pass {1 + number % 2}")
        tab.still()
        told["loop"].append(tab.told())
    tab.close()
    return {scrubber: brief(each) for scrubber, each in told.items()}


def brief(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the times in ms, with the slowest tenth; the most that was sent, in MB; the longest task in ms."""
    sight = [each["sight"] for each in told]
    return {
        "redrawn_ms": round(statistics.median(sight)),
        "slowest_tenth_ms": round(float(np.quantile(sight, 0.9))),
        "first_figure_ms": round(statistics.median(each["first"] for each in told)),
        "answered_ms": round(statistics.median(each["answered"] for each in told)),
        "sent_mb": round(max(each["bytes"] for each in told) / 1e6, 3),
        "longest_task_ms": round(max(each["task"] for each in told)),
        "scrubs": len(told),
    }


def tabs(place: Path, browser: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """Ten sessions that scrub at the same moment, each by its own number of steps, and then say where they are."""
    steps = recorded.probes(place / "base")
    answers, right, rounds = [], 0, 1 if asked.quick else 3
    with server(place) as (address, process):
        opened = [Tab(browser) for _ in range(TABS)]
        for number, tab in enumerate(opened):
            tab.open(f"{address}/{VIEWS[number % len(VIEWS)]}?run=base&step={steps[-1]}")
        for turn in range(rounds):
            moves = [1 + (number + turn) % (len(steps) - 1) for number in range(TABS)]
            for tab, move in zip(opened, moves, strict=True):
                tab.page.get_by_role("slider", name="Training step").first.focus()
                for _ in range(move):
                    tab.page.keyboard.press("ArrowLeft")
            for tab, move in zip(opened, moves, strict=True):
                tab.still()
                answers.append(tab.told()["sight"])
                right += tab.shows(steps[-1 - move])
                tab.press("End")
                tab.press("ArrowLeft")
            for tab in opened:
                tab.still()
        memory = process.memory_info().rss
        for tab in opened:
            tab.close()
    return {
        "tabs": TABS, "right": right, "of": TABS * rounds, "answer_median_ms": round(statistics.median(answers)),
        "answer_worst_ms": round(max(answers)), "server_mb": round(memory / 1e6),
    }  # fmt: skip


def long(place: Path, browser: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """Every page with a text of 1000 tokens: opened, then scrubbed."""
    run = runs.trained(place / "long", 4, 1, tokens=1000, seq_len=1024, batch_size=1)
    told: dict[str, Any] = {"tokens": 1000}
    with server(place) as (address, _):
        for view in VIEWS:
            tab = Tab(browser)
            tab.open(f"{address}/{view}?run={run.name}{ADDRESS.get(view, '')}")
            came = tab.told()
            tab.close()
            opening = {
                "drawn_ms": round(came["sight"]), "sent_mb": round(came["bytes"] / 1e6, 3),
                "longest_task_ms": round(came["task"]),
            }  # fmt: skip
            told[view] = {"opened": opening, **scrubbed(browser, address, view, run, max(asked.scrubs // 4, 4))}
    return told


def memory(place: Path, browser: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """The server's memory while a training is watched, and its slope."""
    with server(place) as (address, process):
        job = jobs.start(place, "watched", strawberry.preset("strawberry-nano"), "sotu", 1_000_000)
        try:
            tab = Tab(browser)
            tab.page.goto(f"{address}/?run={job.name}")
            tab.page.get_by_text("Inside the model").wait_for()
            began, readings, page = time.monotonic(), [], -1
            links = ("Train", "Retention", "Experts", "Attention and AFT", "Recursion")
            while (now := time.monotonic() - began) < 60 * asked.minutes:
                if int(now // 60) != page:
                    page = int(now // 60)
                    tab.page.get_by_role("link", name=links[page % len(links)], exact=True).first.click()
                readings.append((now / 3600, process.memory_info().rss / 1e6))
                tab.page.wait_for_timeout(1000 * SAMPLE)
            status = job.status()
            tab.close()
        finally:
            job.kill()
    kept = [each for each in readings if each[0] >= asked.minutes / 60 / 6]
    per_hour, margin = slope(*np.array(kept).T)
    return {
        "minutes": asked.minutes, "mb_per_hour": round(per_hour, 2), "interval_mb_per_hour": round(margin, 2),
        "first_mb": round(kept[0][1], 1), "last_mb": round(kept[-1][1], 1), "trained_steps": status.step,
        "every_5_minutes_mb": [round(mb, 1) for _, mb in readings[:: round(300 / SAMPLE)]],
    }  # fmt: skip


def slope(times: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """The slope of a line through the values, and half of its 95 % interval.

    Neighbours resemble one another, so the interval counts only as many of them as their residuals' correlation from
    one to the next leaves independent: n (1 − r) / (1 + r).
    """
    per_time, start = np.polyfit(times, values, 1)
    rest = values - (start + per_time * times)
    # What is left of a straight line is rounding.
    spread = float(np.square(rest).sum()) if np.ptp(rest) > 1e-9 * np.abs(values).max() else 0.0
    r = float((rest[1:] * rest[:-1]).sum()) / spread if spread else 0.0
    r = min(max(r, 0.0), 0.99)
    count = max(len(times) * (1 - r) / (1 + r), 4.0)
    error = float(np.sqrt(spread / (count - 2) / np.square(times - times.mean()).sum()))
    return (float(per_time) if np.ptp(values) else 0.0), float(stats.t.ppf(0.975, count - 2)) * error


if __name__ == "__main__":
    main()

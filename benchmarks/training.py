"""How fast and how far a nano Strawberry trains on this machine, and what its input-dependent weights cost.

Run ``python benchmarks/training.py`` on an otherwise idle machine; it takes about ten minutes on two cores, prints
two tables and writes ``benchmarks/results/training.json``. ``--steps`` and ``--pairs`` shorten it.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

import strawberry
from strawberry.data import load
from strawberry.events import Evaluated, Step
from strawberry.learner import Learner

RESULTS = Path(__file__).parent / "results" / "training.json"
FAMILIES = ("strawberry", "strawberry-static", "gpt")


def speed(size: str, pairs: int, burst: int) -> dict[str, dict[str, float]]:
    """Training tokens/s of each family, in alternating bursts of steps so that a drift of the machine hits them all."""
    learners, data = {}, None
    for family in FAMILIES:
        config = strawberry.preset(f"{family}-{size}")
        data = data or load("sotu", config)
        learners[family] = Learner(strawberry.build(config), config)
    rates: dict[str, list[float]] = {family: [] for family in FAMILIES}
    for turn in range(pairs + 1):
        for family, learner in learners.items():
            steps = range(turn * burst, (turn + 1) * burst)
            batches = [data.batch("train", step, learner.config) for step in steps]
            begun = time.perf_counter()
            tokens = sum(learner.learn([batch], step, 10**6).tokens for step, batch in zip(steps, batches, strict=True))
            # The first turn warms up.
            if turn:
                rates[family].append(tokens / (time.perf_counter() - begun))
    table = {}
    for family in FAMILIES:
        ratios = [mine / static for mine, static in zip(rates[family], rates["strawberry-static"], strict=True)]
        table[family] = {
            "tokens_per_s": statistics.median(rates[family]),
            "ratio_to_static": statistics.median(ratios),
            "lowest_ratio": min(ratios),
            "highest_ratio": max(ratios),
        }
    return table


def quality(size: str, steps: int) -> dict[str, float | list[dict[str, float]]]:
    """Validation loss of ``strawberry`` on the default corpus against seconds, tokenizer and all, from nothing."""
    curve, begun = [], time.perf_counter()
    trained = 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STRAWBERRY_CACHE"] = str(Path(folder) / "cache")
        options = {"data": "sotu", "run": Path(folder) / "run", "steps": steps, "eval_every": max(1, steps // 8)}
        for event in strawberry.train(strawberry.preset(f"strawberry-{size}"), **options):
            if isinstance(event, Step):
                trained = event.tokens
            if isinstance(event, Evaluated):
                seconds = time.perf_counter() - begun
                curve.append(
                    {"step": event.step, "seconds": seconds, "nats": event.loss, "bits_per_byte": event.bits_per_byte}
                )
                print(f"{event.step:6d} {seconds:7.0f} s {event.loss:8.3f} nats {event.bits_per_byte:6.3f} bits/byte")
    last = curve[-1]
    return {
        "steps": steps, "tokens": trained, "seconds": last["seconds"], "bits_per_byte": last["bits_per_byte"],
        "nats_per_token": last["nats"], "curve": curve,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="nano")
    parser.add_argument("--steps", type=int, default=400, help="steps of the quality run")
    parser.add_argument("--pairs", type=int, default=10, help="alternating bursts of the speed run")
    parser.add_argument("--burst", type=int, default=4, help="steps of a burst")
    given = parser.parse_args()
    rates = speed(given.size, given.pairs, given.burst)
    print(f"{'family':20} tokens/s  ratio to static (lowest–highest of {given.pairs} turns)")
    for family, row in rates.items():
        low, high = row["lowest_ratio"], row["highest_ratio"]
        print(f"{family:20} {row['tokens_per_s']:8.0f}  {row['ratio_to_static']:.2f} ({low:.2f}–{high:.2f})")
    result = {
        "machine": {"threads": torch.get_num_threads(), "torch": torch.__version__, "processor": platform.machine()},
        "speed": rates,
        "quality": quality(given.size, given.steps),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What a mixture of recursions saves: tokens that stopped cost nothing, so it is faster than full depth by so much.

Run ``python benchmarks/mixture.py`` on an otherwise idle machine; it takes about four minutes on two cores. Each choice
of depth with each cache is trained for a moment (``--steps``), so that its router is one that training makes; then
forward passes, and forward and backward passes, over one batch are timed beside the same stack in which every token
goes through all passes. All take turns in one run; ratios are medians over the turns. Beside them stands the
arithmetic: the FLOPs of ``strawberry.estimate``, which assumes even depths, and those at the depths that were met.
Writes ``benchmarks/results/mixture.json``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import strawberry
from strawberry.config import Config
from strawberry.data import load
from strawberry.learner import Learner

RESULT = Path(__file__).parent / "results" / "mixture.json"
FORMS = {
    "full depth": {"recursion": "all"},
    "token-choice, active": {"recursion": "token-choice", "depth_cache": "active"},
    "token-choice, first": {"recursion": "token-choice", "depth_cache": "first"},
    "expert-choice, active": {"recursion": "expert-choice", "depth_cache": "active"},
    "expert-choice, first": {"recursion": "expert-choice", "depth_cache": "first"},
}
MODES = ("forward", "forward+backward")


def trained(config: Config, steps: int) -> strawberry.Strawberry:
    """A model after a few steps on the default corpus."""
    learner, data = Learner(strawberry.build(config), config), load("sotu", config)
    for step in range(steps):
        learner.learn([data.batch("train", step, config)], step, steps)
    return learner.model


def works(model: strawberry.Strawberry, batch: tuple[Tensor, Tensor]) -> dict[str, Callable[[], object]]:
    """What is timed: predictions in use, and the loss with its gradient in training."""

    def forward() -> None:
        with torch.inference_mode():
            model.eval()(batch[0])

    def both() -> None:
        model.zero_grad(set_to_none=True)
        model.train().loss(*batch).total.backward()

    return {"forward": forward, "forward+backward": both}


def depths(model: strawberry.Strawberry, work: Callable[[], object]) -> list[float]:
    """The share of tokens that stop after each pass while ``work`` is done."""
    if model.mixture is None:
        return [0.0] * (model.config.loops - 1) + [1.0]
    with strawberry.Trace.of(model, "mixture.depth") as trace:
        work()
    return [float((trace["mixture.depth"][0] == step + 1).double().mean()) for step in range(model.config.loops)]


def flops_ratio(config: Config, mean: float) -> float:
    """Forward FLOPs at a mean depth over those at full depth: the passes shrink, the unembedding does not."""
    whole = strawberry.estimate(config.replace(recursion="all", depth_cache="active")).forward_flops_per_token
    unembedding = 2 * config.vocab_size * config.d_model
    return (unembedding + (whole - unembedding) * mean / config.loops) / whole


def timed(models: dict[str, strawberry.Strawberry], batch: tuple[Tensor, Tensor], rounds: int) -> dict[str, Any]:
    """Seconds of every form and mode, in turn."""
    jobs = {(form, mode): work for form, model in models.items() for mode, work in works(model, batch).items()}
    seconds: dict[tuple[str, str], list[float]] = {job: [] for job in jobs}
    for turn in range(rounds + 1):
        for job, work in jobs.items():
            begun = time.perf_counter()
            work()
            # The first turn warms up.
            if turn:
                seconds[job].append(time.perf_counter() - begun)
    found: dict[str, Any] = {form: {} for form in models}
    for (form, mode), mine in seconds.items():
        ratios = [one / full for one, full in zip(mine, seconds["full depth", mode], strict=True)]
        share = depths(models[form], jobs[form, mode])
        mean = sum((step + 1) * one for step, one in enumerate(share))
        found[form][mode] = {
            "milliseconds": 1000 * statistics.median(mine),
            "time_ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "shares": share,
            "mean_depth": mean,
            "flops_ratio": flops_ratio(models[form].config, mean),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mor-nano")
    parser.add_argument("--steps", type=int, default=40, help="of training")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    load_before = os.getloadavg()[0]
    configs = {form: strawberry.preset(asked.preset, **fields) for form, fields in FORMS.items()}
    models = {form: trained(config, asked.steps) for form, config in configs.items()}
    config = configs["full depth"]
    batch = load("sotu", config).batch("validation", 0, config)
    table = timed(models, batch, asked.rounds)
    flops = {form: strawberry.estimate(one).forward_flops_per_token for form, one in configs.items()}
    print(f"{'':22} {'':17} mean depth  FLOPs   time  (lowest–highest)")
    for form, modes in table.items():
        for mode, row in modes.items():
            print(
                f"{form:22} {mode:17} {row['mean_depth']:10.2f} {row['flops_ratio']:6.2f} {row['time_ratio']:6.2f}  "
                f"({row['lowest']:.2f}–{row['highest']:.2f})  {row['milliseconds']:.0f} ms"
            )
    result = {
        "machine": {
            "threads": torch.get_num_threads(), "torch": torch.__version__, "processor": platform.machine(),
            "load_before": load_before, "load_after": os.getloadavg()[0],
        },
        "preset": asked.preset, "steps": asked.steps, "rounds": asked.rounds,
        "estimated_forward_flops_per_token": flops, "forms": table,
    }  # fmt: skip
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""A study with its results, invented: better, equal, void, leaky, all of it, without a step of training."""

import math
from functools import cache
from typing import Any

import numpy as np

from lab.ablate.budget import matched
from lab.ablate.results import CellResult, Results, Row
from lab.ablate.study import Study
from lab.ablate.verdict import Comparison, judge

TASK = "mqar:pairs=4,length=32"
VOID = f"The control attention reached an accuracy of 0.713 on {TASK} and had to reach 0.99."
SHIFTS = {"attention": 0.0, "prefix": -0.05, "static": 0.0, "leaky": -0.9}
METRICS = {"sotu": "bits_per_byte", TASK: "accuracy", "markov": "loss"}


def study(**changes: Any) -> Study:
    """Four variants, one of them leaky, on a text, a task whose control fails, and a source with a floor."""
    small = {"n_experts": 1, "top_k": 1}
    given: dict[str, Any] = {
        "name": "first-look", "question": "Is input-dependent Retention worth its cost, and where?",
        "base": {"preset": "strawberry-pico", "d_ff": 96},
        "data": {"sotu": {}, TASK: {"vocab_size": 64}, "markov": {"vocab_size": 64}},
        "variants": {
            "attention": {"preset": "gpt-pico", "d_ff": 96}, "prefix": small, "static": {"pooling": "static", **small},
            "leaky": {"preset": "strawberry-leaky-pico", **small},
        },
        "steps": 200, "equal": "flops", "control": {TASK: ("attention", 0.99)}, "seeds": (0, 1, 2, 3, 4),
    }  # fmt: skip
    return Study(**{**given, **changes})


@cache
def results() -> Results:
    """What that study might have found."""
    asked, rng = study(), np.random.default_rng(0)
    budgets, luck = matched(asked), {data: rng.normal(size=len(asked.seeds)) for data in asked.data}
    rows, cells = [], []
    for variant, data in asked.pairs:
        budget, metric, shift = budgets[variant, data], METRICS[data], SHIFTS[variant]
        noise = rng.normal(size=len(asked.seeds))
        scores = (
            np.clip(0.7 + 0.05 * luck[data] - shift, 0, 1) if metric == "accuracy"
            else 1.9 + 0.02 * luck[data] + shift + 0.004 * noise
        )  # fmt: skip
        rates = asked.rates(variant, data)
        chosen = rates[2] if variant == "prefix" else rates[1]
        trained = [("tune", asked.tuning_seed, rate) for rate in rates]
        trained += [("final", seed, chosen) for seed in asked.seeds]
        cells += [
            _cell(variant, data, budget.steps, stage, seed, rate, chosen, scores) for stage, seed, rate in trained
        ]
        rows.append(
            Row(
                data, variant, variant == asked.reference, budget.config.causal, asked.variants[variant], budget.steps,
                budget.rule, budget.parameters, budget.active_parameters, budget.state_size, budget.tokens,
                budget.flops, budget.decode_flops, metric, metric == "accuracy", chosen,
                {f"{rate:g}": 1.9 for rate in rates}, "highest" if variant == "prefix" else "",
                {str(seed): float(score) for seed, score in zip(asked.seeds, scores, strict=True)}, {},
                float(scores.mean()), float(scores.std(ddof=1)), 1.75 if data == "markov" else None,
                0.01 * budget.steps, 1e5, VOID if data == TASK else "",
            )
        )  # fmt: skip
    return Results(
        study=asked.to_dict(),
        question=asked.question,
        command="strawberry ablate studies/first-look.toml",
        complete=True,
        fixed=["FLOPs of training are equal to within 1%, by the number of steps."],
        rows=rows,
        verdicts=judge(_comparisons(asked, rows), asked.delta),
        cells=cells,
        environments=[{"python": "3.12", "packages": {"torch": "2.12"}, "processor": "a processor"}],
    )


def _comparisons(asked: Study, rows: list[Row]) -> list[Comparison]:
    by_pair = {(row.variant, row.data): row for row in rows}
    found = []
    for row in (row for row in rows if not row.reference):
        both = (by_pair[asked.reference, row.data], row)
        scores = [() if row.void else tuple(each.scores.values()) for each in both]
        leaks = "" if row.causal or row.void else f"{row.variant} reads the future: it is measured, and has no rank."
        found.append(
            Comparison(row.data, row.variant, asked.reference, row.metric, scores[0], scores[1], row.void, leaks)
        )
    return found


def _cell(
    variant: str, data: str, steps: int, stage: str, seed: int, rate: float, chosen: float, scores: np.ndarray
) -> CellResult:
    metric, worse = METRICS[data], 0.0 if rate == chosen else 0.2
    score = float(scores[seed if stage == "final" else 0]) + worse * (-1 if metric == "accuracy" else 1)
    loss = {"bits_per_byte": 0.7 * score, "loss": score, "accuracy": 1 - score}[metric]
    curve = [[step, loss + 2 * math.exp(-4 * step / steps), score] for step in range(steps // 5, steps + 1, steps // 5)]
    training = [[step, loss + 2 * math.exp(-4 * step / steps)] for step in range(5, steps + 1, 5)]
    name = f"{data.partition(':')[0]}.{variant}.lr{rate:g}.s{seed}-0123456789"
    return CellResult(
        name, stage, data, variant, rate, seed, steps, steps, "done", f"cells/{name}/events.jsonl", loss,
        curve=curve, training=training, seconds=0.01 * steps, **({} if metric == "loss" else {metric: score}),
    )  # fmt: skip

"""Can a model predict what cannot be predicted? Trains on independent uniform tokens, measures the loss on fresh ones.

No causal model can go below ln V there, however long it trains; a model that reads the future can. Every step sees a
fresh batch, so nothing can be memorised. Run: python benchmarks/null_information.py [--steps N]
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import strawberry
from strawberry.learner import Learner

RESULT = Path(__file__).parent / "results" / "null_information.json"
VOCABULARY, LENGTH, ROWS = 4, 8, 1
# One-sided: a loss this many standard errors below ln V is not chance.
ERRORS = 4.0


def batches(generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless fresh (tokens, targets), each (ROWS, LENGTH): the targets are the tokens one place later."""
    while True:
        row = torch.randint(VOCABULARY, (ROWS, LENGTH + 1), generator=generator)
        yield row[:, :-1], row[:, 1:]


def measure(family: str, steps: int, accumulate: int, evaluations: int) -> dict[str, object]:
    """Train the pico preset of a family for `steps` and return its fresh-data loss with its standard error."""
    config = strawberry.preset(
        f"{family}-pico",
        vocab_size=VOCABULARY,
        seq_len=LENGTH,
        chunk=2,
        optimizer="adamw",
        learning_rate=0.003,
        decay_lr=False,
        warmup_steps=steps // 20,
        precision="fp32",
        device="cpu",
    )
    model = strawberry.build(config)
    learner = Learner(model, config)
    fresh = batches(torch.Generator().manual_seed(1))
    began = time.perf_counter()
    for step in range(steps):
        learner.learn([next(fresh) for _ in range(accumulate)], step, steps)
    model.eval()
    with torch.inference_mode():
        losses = torch.stack([model.loss(*next(fresh)).cross_entropy for _ in range(evaluations)]).double()
    loss, error = float(losses.mean()), float(losses.std() / math.sqrt(evaluations))
    below = loss < math.log(VOCABULARY) - ERRORS * error
    return {
        "family": family,
        "causal": model.causal,
        "loss": loss,
        "standard_error": error,
        "ln_v": math.log(VOCABULARY),
        "below": below,
        "as_expected": below != model.causal,
        "steps": steps,
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> int:
    """Print a table, write the result as JSON; 0 when all causal families stayed above ln V and the leaky fell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="optimiser steps of each family")
    parser.add_argument("--accumulate", type=int, default=4, help="sequences per step, each a batch of its own")
    parser.add_argument("--evaluations", type=int, default=1000, help="fresh sequences that the loss is measured on")
    parser.add_argument("--families", nargs="*", default=list(strawberry.families()), help="which to train")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"independent uniform tokens: V = {VOCABULARY}, B = {ROWS}, T = {LENGTH}; ln V = {math.log(VOCABULARY):.4f}")
    print(f"{'family':18} {'causal':7} {'loss':>8} {'± error':>8}  verdict")
    rows = []
    for family in asked.families:
        row = measure(family, asked.steps, asked.accumulate, asked.evaluations)
        rows.append(row)
        verdict = "below ln V: reads the future" if row["below"] else "not below ln V"
        print(f"{family:18} {row['causal']!s:7} {row['loss']:8.4f} {row['standard_error']:8.4f}  {verdict}", flush=True)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(
        json.dumps({"vocabulary": VOCABULARY, "rows": ROWS, "length": LENGTH, "families": rows}, indent=1)
    )
    return 0 if all(row["as_expected"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

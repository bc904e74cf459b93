"""Whether harder inputs exit later, on a task of known difficulty: the way to the root of a tree, one to six steps.

The text lists (s, parent of s) for four chains of seven symbols each, in random order; a root is its own parent. Then
come queries, a symbol each, and the answer is the root of its chain. How far the root is cannot be read off the query,
a guess among the roots is right one time in four, and every text has new chains. A one-layer ``homunculus`` learns it
from nothing, on the answers alone, with the losses and the optimisers of the package; farther queries are asked as soon
as the nearer ones are learned. Then the text is read with all passes, and on each query's last token the model stops
when it is confident.

Run ``python benchmarks/composition.py`` on an otherwise idle machine: three seeds, 40 minutes on one core of a
busy machine. It prints exit depth, accuracy and loss by difficulty, and writes ``benchmarks/results/composition.json``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas
import torch
from torch import Tensor

import strawberry
from strawberry.call import Call
from strawberry.config import Config
from strawberry.model import Strawberry
from strawberry.optim import Optimizers
from strawberry.recursion.halting import halting_losses, nats

RESULT = Path(__file__).parent / "results" / "composition.json"
CHAINS, DEEPEST, QUERIES, ROWS = 4, 6, 16, 32
SYMBOLS = CHAINS * (DEEPEST + 1)
SEPARATOR, QUESTION = SYMBOLS, SYMBOLS + 1
ASKED = slice(3 * SYMBOLS + 1, None, 2)  # the last token of each query, from which the answer is predicted
FIRST = 2
LEARNED = 0.15  # nats: below, the farthest query asked so far counts as learned
CONFIDENT = 0.8
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t for an interval over so many seeds


def config_of(seed: int) -> Config:
    """One layer that is run up to eight times; a short convolution shows each symbol the token before it."""
    return strawberry.preset(
        "homunculus-nano", vocab_size=SYMBOLS + 2, seq_len=3 * SYMBOLS + 2 * QUERIES, d_model=64, d_qkv=64,
        n_layers=1, n_heads=1, n_kv_heads=1, d_ff=128, conv=2, loops=8, loss_threshold=2.0, halting_coef=0.3,
        optimizer="muon", learning_rate=0.01, warmup_steps=50, seed=seed,
    )  # fmt: skip


def draw(rows: int, deepest: int, generator: torch.Generator, depth: int | None = None) -> tuple[Tensor, ...]:
    """Tokens (rows, seq), and each query's answer and depth (rows, QUERIES); ``depth`` asks the last query so far."""
    chains = torch.rand(rows, SYMBOLS, generator=generator).argsort(dim=1).view(rows, CHAINS, DEEPEST + 1)
    parents = torch.cat([chains[..., :1], chains[..., :-1]], dim=-1).flatten(1)
    symbols, order = chains.flatten(1), torch.rand(rows, SYMBOLS, generator=generator).argsort(dim=1)
    pairs = [symbols.gather(1, order), parents.gather(1, order), torch.full_like(order, SEPARATOR)]
    depths = torch.randint(1, deepest + 1, (rows, QUERIES), generator=generator)
    if depth is not None:
        depths[:, -1] = depth
    roots = (DEEPEST + 1) * torch.randint(CHAINS, (rows, QUERIES), generator=generator)
    starts = symbols.gather(1, roots + depths)
    queries = torch.stack([torch.full_like(starts, QUESTION), starts], dim=-1).flatten(1)
    return torch.cat([torch.stack(pairs, dim=-1).flatten(1), queries], dim=1), symbols.gather(1, roots), depths


def trained(config: Config, steps: int) -> tuple[Strawberry, list[dict[str, float]]]:
    """A model after ``steps`` of training, and the step at which each depth was first asked."""
    model, generator = strawberry.build(config), torch.Generator().manual_seed(config.seed)
    optimizers, deepest, smooth, begun = Optimizers(model, config), FIRST, 3.0, time.perf_counter()
    reached = [{"depth": FIRST, "step": 0}]
    for step in range(steps):
        tokens, answers, _ = draw(ROWS, deepest, generator)
        passes = (x[:, ASKED] for x in model._passes(tokens, Call(keep=False)))
        loss, objective, _, _ = halting_losses(model, passes, answers, min(config.loops, deepest + 2))
        objective.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizers.step(step, steps)
        optimizers.zero_grad()
        smooth = 0.95 * smooth + 0.05 * float(loss.detach())
        if smooth < LEARNED and deepest < DEEPEST:
            deepest, smooth = deepest + 1, 1.0
            reached.append({"depth": deepest, "step": step + 1})
        if (step + 1) % 100 == 0:
            spent = time.perf_counter() - begun
            told = f"seed {config.seed}, step {step + 1:5d}, {spent:4.0f} s: depths to {deepest}, loss {smooth:.3f}"
            print(told, flush=True)
    return model.eval(), reached


@torch.inference_mode()
def measured(model: Strawberry, rows: int) -> dict[str, Any]:
    """Exit depth, accuracy and loss on new chains, of each text's last query; by difficulty, then by pass."""
    config, found, every = model.config, [], []
    for depth in range(1, DEEPEST + 1):
        tokens, answers, _ = draw(rows, DEEPEST, torch.Generator().manual_seed(10**6 + depth), depth)
        right = answers[:, -1:]
        state = model.think(tokens[:, :-1], "fixed", config.loops).state
        ends = [model.think(tokens[:, -1:], "fixed", passes, None, state) for passes in range(1, config.loops + 1)]
        early = model.think(tokens[:, -1:], "confidence", CONFIDENT, None, state)
        correct, passes = early.logits.argmax(dim=-1) == right, early.passes
        every += [(depth, int(p), bool(c)) for p, c in zip(passes.flatten(), correct.flatten(), strict=True)]
        found.append({
            "difficulty": depth, "exit_depth": float(passes.double().mean()),
            "accuracy": float(correct.double().mean()),
            "accuracy_by_pass": [float((end.logits.argmax(dim=-1) == right).double().mean()) for end in ends],
            "loss_by_pass": [float(nats(end.logits, right).mean()) for end in ends],
            "confidence_by_pass": [float(end.confidence.mean()) for end in ends],
        })  # fmt: skip
    table = pandas.DataFrame(every, columns=["difficulty", "passes", "correct"])
    answered = table[table["correct"]]
    return {
        "by_difficulty": found,
        "rank_correlation": rank_correlation(table),
        "rank_correlation_of_right_answers": rank_correlation(answered),
        "right_answers": len(answered) / len(table),
    }


def rank_correlation(table: pandas.DataFrame) -> float:
    """Spearman's, of difficulty and passes over single queries; 0 where all exit alike."""
    return float(table[["difficulty", "passes"]].corr(method="spearman").fillna(0).iloc[0, 1])


def over_seeds(values: list[float]) -> dict[str, float]:
    """The mean with its 95 % interval by Student's t."""
    if len(values) not in T_95:
        return {"mean": statistics.mean(values)}
    reach = T_95[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return {"mean": statistics.mean(values), "low": statistics.mean(values) - reach,
            "high": statistics.mean(values) + reach}  # fmt: skip


def one_seed(seed: int, steps: int, rows: int) -> dict[str, Any]:
    """Train and measure one seed, on one core."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    model, reached = trained(config_of(seed), steps)
    parameters = sum(p.numel() for p in model.parameters())
    return {"seed": seed, "parameters": parameters, "seconds": round(time.perf_counter() - begun), "asked": reached,
            **measured(model, rows)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=500, help="queries of each difficulty")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    load_before, begun = os.getloadavg()[0], time.perf_counter()
    with ProcessPoolExecutor(min(asked.seeds, os.cpu_count() or 1), get_context("spawn")) as pool:
        jobs = [pool.submit(one_seed, seed, asked.steps, asked.rows) for seed in range(asked.seeds)]
        seeds = [job.result() for job in jobs]
    print("difficulty   exit depth   accuracy   " + "loss after pass 1, 2, …")
    for level in range(DEEPEST):
        rows = [seed["by_difficulty"][level] for seed in seeds]
        means = {key: statistics.mean(row[key] for row in rows) for key in ("exit_depth", "accuracy")}
        losses = [statistics.mean(step) for step in zip(*(row["loss_by_pass"] for row in rows), strict=True)]
        by_pass = "  ".join(f"{loss:.2f}" for loss in losses)
        print(f"{level + 1:10d} {means['exit_depth']:12.2f} {means['accuracy']:10.2f}   {by_pass}")
    summary = {}
    for name in ("rank_correlation", "rank_correlation_of_right_answers"):
        values = [seed[name] for seed in seeds]
        summary[name] = over_seeds(values)
        interval = ", ".join(f"{key} {value:.2f}" for key, value in summary[name].items())
        print(f"{name.replace('_', ' ')}: {', '.join(f'{value:.2f}' for value in values)} ({interval})")
    result = {
        "machine": {
            "processes": min(asked.seeds, os.cpu_count() or 1), "torch": torch.__version__,
            "processor": platform.machine(), "load_before": load_before, "load_after": os.getloadavg()[0],
        },
        "task": {"symbols": SYMBOLS, "chains": CHAINS, "deepest": DEEPEST, "queries": QUERIES, "chance": 1 / CHAINS},
        "config": config_of(0).to_dict(), "steps": asked.steps, "rows": asked.rows, "threshold": CONFIDENT,
        "seconds": round(time.perf_counter() - begun), "summary": summary, "seeds": seeds,
    }  # fmt: skip
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

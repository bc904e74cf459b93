"""What stopping early saves and costs: adaptive depth against the fixed maximum, of a model trained on the spot.

Run ``python benchmarks/adaptive.py`` on an otherwise idle machine; it trains ``homunculus-nano`` on the default corpus
for about six minutes on two cores (``--minutes``), then takes two more to measure. For each exit rule and threshold:
mean passes, the loss on validation text and how much higher it is than with all passes, and decoding tokens per second.
Decoding is of one row, token by token, over validation text; all rules take turns, so that a drift of the machine hits
them all. ``speed`` is relative to plain decoding with all passes (``model.step``), which is faster than an exit rule
that never stops. Each rule's threshold is chosen on one half of the validation text, to cost at most 1 % there; what it
costs is measured on the other half. Writes ``adaptive.json`` and ``adaptive.md`` to ``benchmarks/results/``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import strawberry
from strawberry.config import Config
from strawberry.data import Dataset, load
from strawberry.learner import Learner
from strawberry.recursion.halting import nats

RESULTS = Path(__file__).parent / "results"
THRESHOLDS = {
    "confidence": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "gap": (0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    "saturation": (0.8, 0.85, 0.9, 0.95, 0.975),
}
PROMISED = 0.01  # share of the loss that an exit rule may cost
ROWS, DECODED = 64, 96
Setting = tuple[str, float]


def trained(config: Config, data: Dataset, minutes: float) -> tuple[strawberry.Strawberry, dict[str, Any]]:
    """A model after ``minutes`` of training, and how it went."""
    begun, shortly = time.perf_counter(), Learner(strawberry.build(config), config)
    for step in range(10):
        if step == 2:
            begun = time.perf_counter()
        shortly.learn([data.batch("train", step, config)], step, 10**6)
    steps = max(20, round(60 * minutes / (time.perf_counter() - begun) * 8))
    learner, begun, passes = Learner(strawberry.build(config), config), time.perf_counter(), 0.0
    print(f"{sum(p.numel() for p in learner.model.parameters()) / 1e6:.2f} M parameters, {steps} steps", flush=True)
    for step in range(steps):
        learned = learner.learn([data.batch("train", step, config)], step, steps)
        passes += learned.passes
        if (step + 1) % max(1, steps // 8) == 0:
            print(f"step {step + 1:5d}  {time.perf_counter() - begun:5.0f} s  loss {learned.loss:.3f}", flush=True)
    seconds = time.perf_counter() - begun
    told = {"steps": steps, "seconds": round(seconds, 1), "mean_passes": passes / steps, "loss": learned.loss}
    return learner.model.eval(), told


def validation(data: Dataset, config: Config) -> list[tuple[Tensor, Tensor]]:
    """Batches of validation text, in an order in which neighbours are apart."""
    return [data.batch("validation", index, config.replace(batch_size=8)) for index in range(ROWS // 8)]


@torch.inference_mode()
def scored(model: strawberry.Strawberry, batches: list[tuple[Tensor, Tensor]], rule: str, at: float) -> list[Tensor]:
    """Each token's loss in nats and its passes, (rows, seq) both."""
    losses, passes = [], []
    for tokens, targets in batches:
        thought = model.think(tokens, rule, at)
        losses.append(nats(thought.logits, targets))
        passes.append(thought.passes)
    return [torch.cat(losses), torch.cat(passes)]


@torch.inference_mode()
def decoding(model: strawberry.Strawberry, text: Tensor, rounds: int, settings: list[Setting]) -> dict[Setting, Any]:
    """Tokens/s of every setting in turn, and of plain decoding, over ``text`` (rows, tokens), one row at a time."""

    def plain(row: Tensor) -> None:
        state = None
        for token in row:
            _, state = model.step(token.view(1, 1), state)

    def thinking(row: Tensor, rule: str, at: float) -> None:
        state = None
        for token in row:
            state = model.think(token.view(1, 1), rule, at, None, state).state

    rates: dict[Setting, list[float]] = {setting: [] for setting in settings}
    for turn in range(rounds + 1):
        row = text[turn % len(text)]
        for rule, at in settings:
            begun = time.perf_counter()
            plain(row) if rule == "plain" else thinking(row, rule, at)
            # The first turn warms up.
            if turn:
                rates[rule, at].append(len(row) / (time.perf_counter() - begun))
    bases = rates["plain", 0.0]
    return {
        setting: {
            "tokens_per_s": statistics.median(found),
            "speed": statistics.median(mine / base for mine, base in zip(found, bases, strict=True)),
        }
        for setting, found in rates.items()
    }


def measured(model: strawberry.Strawberry, data: Dataset, rounds: int) -> list[dict[str, Any]]:
    """One row per setting: passes, loss, its increase in % with its standard error, and speed."""
    batches, most = validation(data, model.config), float(model.config.loops)
    fixed = [("fixed", float(passes)) for passes in range(1, int(most) + 1)]
    settings = fixed + [(rule, at) for rule, thresholds in THRESHOLDS.items() for at in thresholds]
    whole, _ = scored(model, batches, "fixed", most)
    text = torch.cat([tokens for tokens, _ in batches])[:, :DECODED]
    torch.set_num_threads(1)  # one row is too little for two
    speeds = decoding(model, text, rounds, [("plain", 0.0), *settings])
    torch.set_num_threads(os.cpu_count() or 1)
    table = []
    for rule, at in settings:
        losses, passes = scored(model, batches, rule, at)
        # Rows are other texts: their differences are independent, and errors follow from their spread.
        apart = (losses - whole).mean(dim=1)
        halves = {
            name: 100 * float(apart[half].mean() / whole[half].mean())
            for name, half in (("calibration", slice(0, None, 2)), ("test", slice(1, None, 2)))
        }
        table.append({
            "rule": rule, "threshold": at, "passes": float(passes.double().mean()), "loss": float(losses.mean()),
            "increase_percent": 100 * float(apart.mean() / whole.mean()),
            "error_percent": 100 * float(apart.std() / len(apart) ** 0.5 / whole.mean()),
            "halves_percent": halves, **speeds[rule, at],
        })  # fmt: skip
    plain = {"rule": "plain", "threshold": 0.0, "passes": most, "loss": float(whole.mean()), **speeds["plain", 0.0]}
    return [{**plain, "increase_percent": 0.0, "error_percent": 0.0, "halves_percent": None}, *table]


def chosen(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each rule the fastest setting that keeps the promise on the calibration half, judged on the other half."""
    best = []
    for rule in ("fixed", *THRESHOLDS):
        kept = [row for row in table if row["rule"] == rule and row["halves_percent"]["calibration"] <= 100 * PROMISED]
        if kept:
            best.append(min(kept, key=lambda row: row["passes"]))
    return best


def as_markdown(table: list[dict[str, Any]], best: list[dict[str, Any]]) -> str:
    """The table, the chosen settings in bold."""
    lines = [
        "| exit rule | threshold | mean passes | loss | increase | tokens/s | speed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table:
        bold = "**" if row in best else ""
        cells = (
            row["rule"], f"{row['threshold']:g}", f"{row['passes']:.2f}", f"{row['loss']:.4f}",
            f"{row['increase_percent']:+.2f} ± {row['error_percent']:.2f} %", f"{row['tokens_per_s']:.0f}",
            f"{row['speed']:.2f} ×",
        )  # fmt: skip
        lines.append("| " + " | ".join(f"{bold}{cell}{bold}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="homunculus-nano")
    parser.add_argument("--minutes", type=float, default=6, help="of training")
    parser.add_argument("--rounds", type=int, default=9, help="turns of the decoding measurement")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the preset to change")
    asked = parser.parse_args()
    fields = {name: json.loads(value) for name, value in (item.split("=") for item in asked.set)}
    config, load_before = strawberry.preset(asked.preset, **fields), os.getloadavg()[0]
    data = load("sotu", config)
    model, training = trained(config, data, asked.minutes)
    table = measured(model, data, asked.rounds)
    best = chosen(table)
    print(as_markdown(table, best))
    for row in best:
        print(
            f"{row['rule']} at {row['threshold']:g}, chosen for ≤ {PROMISED:.0%} on one half: "
            f"{row['speed']:.2f} × as fast, loss {row['halves_percent']['test']:+.2f} % on the other half"
        )
    result = {
        "machine": {
            "threads": torch.get_num_threads(), "torch": torch.__version__, "processor": platform.machine(),
            "load_before": load_before, "load_after": os.getloadavg()[0],
        },
        "preset": asked.preset, "changed": fields, "training": training, "settings": table,
        "chosen": [{"rule": row["rule"], "threshold": row["threshold"]} for row in best],
    }  # fmt: skip
    asked.out.mkdir(exist_ok=True)
    (asked.out / "adaptive.json").write_text(json.dumps(result, indent=1) + "\n")
    (asked.out / "adaptive.md").write_text(as_markdown(table, best))


if __name__ == "__main__":
    main()

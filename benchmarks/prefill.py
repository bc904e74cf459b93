"""What stopping half-way saves: a decoder–decoder reads a prompt by `prefill`, against running all of its layers.

    python benchmarks/prefill.py --preset yoco-nano

Both give the same logits after the last token, which is checked first, and compute no others. `prefill` runs the upper
half for the last token only, since it keeps no state. Times alternate between the two in one
run; medians. Prints milliseconds and the ratio for each length of prompt, and writes benchmarks/results/prefill.json.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

import strawberry
from strawberry.call import Call

RESULT = Path(__file__).resolve().parent / "results" / "prefill.json"
LENGTHS = (128, 256, 512, 1024, 2048, 4096)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="yoco-nano")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    model = strawberry.build(strawberry.preset(asked.preset)).eval()
    table = [measure(model, length, asked.rounds) for length in LENGTHS]
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    RESULT.parent.mkdir(exist_ok=True)
    told = {"preset": asked.preset, "rounds": asked.rounds, "machine": machine, "lengths": table}
    RESULT.write_text(json.dumps(told, indent=1) + "\n")


@torch.inference_mode()
def measure(model: strawberry.Strawberry, length: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of both for one row of ``length`` tokens, and their ratio."""
    tokens = torch.randint(0, model.config.vocab_size, (1, length))

    def all_layers() -> torch.Tensor:
        x, _ = model._run(tokens, None, Call())
        return model.unembed(x[:, -1:])[:, 0]

    difference = (model.prefill(tokens)[0] - all_layers()).abs().max()
    assert difference < 1e-3, f"the two disagree by {difference}"
    whole, half = [], []
    for _ in range(rounds):
        whole.append(milliseconds(all_layers))
        half.append(milliseconds(lambda: model.prefill(tokens)))
    full, prefill = statistics.median(whole), statistics.median(half)
    print(
        f"{length:5} tokens: all layers {full:8.1f} ms, prefill {prefill:8.1f} ms, {full / prefill:.2f} times as fast"
    )
    return {"tokens": length, "all_layers_ms": full, "prefill_ms": prefill, "ratio": full / prefill}


def milliseconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()

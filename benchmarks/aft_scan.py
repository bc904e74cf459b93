"""How fast AFT's prefix sums can be had, and which of the ways bear keys of any size.

Run ``python benchmarks/aft_scan.py [--device cuda]``; it takes about four minutes on one core, prints two tables and
writes ``benchmarks/results/aft_scan.json`` (``aft_scan_cuda.json`` on a GPU). The package has two of these ways:
``triangles`` where keys are known to be small, ``blocks`` elsewhere. The others are what they were chosen from.
"""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.associative_scan import associative_scan

from strawberry.mixers.aft.sums import bounded_sums, mean, stable_sums

RESULTS = Path(__file__).parent / "results"
LENGTHS = (256, 1024, 4096, 16384)
HEADS, WIDTH = 4, 32
# A way that needs longer than this for one pass is not tried on longer texts.
PATIENCE = 1.0

Way = Callable[[Tensor, Tensor], Tensor]
"""k, v (batch, seq, head, d_head) -> the average of all values so far, weighed by eᵏ."""


def cumsum(k: Tensor, v: Tensor) -> Tensor:
    """Torch's own prefix sum of eᵏ v and eᵏ: what the others are compared with."""
    weight = k.exp()
    numerator, denominator = torch.stack([weight * v, weight]).cumsum(dim=2)
    return numerator / denominator


def cumsum_in_double(k: Tensor, v: Tensor) -> Tensor:
    """The same in fp64, whose exponentials reach from e^−700 to e^700."""
    return cumsum(k.double(), v.double()).to(v.dtype)


def triangles(k: Tensor, v: Tensor) -> Tensor:
    """The package's way for small keys: products with triangles of ones."""
    return mean(bounded_sums(k, v).totals)


def blocks(k: Tensor, v: Tensor) -> Tensor:
    """The package's way for all keys: running maxima, and steps that all blocks take together."""
    return mean(stable_sums(k, v).totals)


def combine(early: tuple[Tensor, ...], late: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Two spans' (peak, numerator, denominator) as one's."""
    peak = torch.maximum(early[0], late[0])
    before, after = (early[0] - peak).exp(), (late[0] - peak).exp()
    return peak, *(x * before + y * after for x, y in zip(early[1:], late[1:], strict=True))


def leaves(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every token as a span of its own; the peak bears no gradient."""
    one = (k - k.detach()).exp()
    return k.detach().clone(), v * one, one


def doubling(k: Tensor, v: Tensor) -> Tensor:
    """Spans of 1, 2, 4, … tokens joined to the ones before them: log₂(seq) sweeps over everything."""
    spans, step = leaves(k, v), 1
    while step < k.shape[1]:
        joined = combine(tuple(x[:, :-step] for x in spans), tuple(x[:, step:] for x in spans))
        spans = tuple(torch.cat([x[:, :step], y], dim=1) for x, y in zip(spans, joined, strict=True))
        step *= 2
    return spans[1] / spans[2]


def torch_associative_scan(k: Tensor, v: Tensor) -> Tensor:
    """Torch's prototype of a scan with any associative operation."""
    _, numerator, denominator = associative_scan(combine, leaves(k, v), dim=1, combine_mode="generic")
    return numerator / denominator


def logcumsumexp(k: Tensor, v: Tensor) -> Tensor:
    """log Σ e^(k + log|v|), for positive and negative values apart."""
    whole = k.logcumsumexp(dim=1)
    up, down = ((k + side.clamp(min=0).log()).logcumsumexp(dim=1) for side in (v, -v))
    return (up - whole).exp() - (down - whole).exp()


def steps(k: Tensor, v: Tensor) -> Tensor:
    """The clear one: token after token."""
    spans = leaves(k, v)
    state, means = tuple(x[:, 0] for x in spans), []
    for t in range(k.shape[1]):
        state = combine(state, tuple(x[:, t] for x in spans)) if t else state
        means.append(state[1] / state[2])
    return torch.stack(means, dim=1)


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        cumsum, cumsum_in_double, triangles, blocks, doubling, torch_associative_scan, logcumsumexp, steps,
    )
}  # fmt: skip


def bears(way: Way, lowest: float, highest: float) -> dict[str, float | bool | None]:
    """The largest error against fp64 for keys that climb from lowest to highest, and whether gradients stay finite."""
    v = torch.randn(1, 512, HEADS, WIDTH, generator=torch.Generator().manual_seed(0))
    v[:, ::7] = 0
    k = torch.linspace(lowest, highest, 512)[None, :, None, None].expand_as(v).contiguous()
    exact = steps(k.double(), v.double())
    k.requires_grad_()
    v.requires_grad_()
    y = way(k, v)
    gradients = torch.autograd.grad(y.square().sum(), (k, v))
    error = float((y.detach() - exact).abs().max() / exact.abs().max())
    return {
        "error": error if math.isfinite(error) else None,
        "finite_gradients": all(bool(gradient.isfinite().all()) for gradient in gradients),
    }


def seconds(way: Way, k: Tensor, v: Tensor, backward: bool) -> float:
    """One forward pass, or forward and backward."""
    k, v = (x.detach().clone().requires_grad_(backward) for x in (k, v))
    # On a CPU the seconds of this process, which other work on the machine does not stretch.
    clock = time.process_time if k.device.type == "cpu" else time.perf_counter
    _wait(k)
    begun = clock()
    with torch.set_grad_enabled(backward):
        y = way(k, v)
        if backward:
            y.sum().backward()
    _wait(k)
    return clock() - begun


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def measure(lengths: tuple[int, ...], rounds: int, device: str) -> list[dict[str, Any]]:
    """Milliseconds of every way at every length, in alternating rounds: a drift of the machine hits them all."""
    rows, left = [], dict(WAYS)
    for length in lengths:
        generator = torch.Generator().manual_seed(length)
        k, v = (torch.randn(1, length, HEADS, WIDTH, generator=generator).to(device) for _ in range(2))
        times: dict[tuple[str, bool], list[float]] = {(name, side): [] for name in left for side in (False, True)}
        for turn in range(rounds + 1):
            for (name, side), found in times.items():
                one = seconds(left[name], k, v, side)
                # The first turn warms up.
                if turn:
                    found.append(one)
        for name in list(left):
            row: dict[str, Any] = {"way": name, "length": length}
            for side, word in ((False, "forward"), (True, "both")):
                mine, plain = times[name, side], times["cumsum", side]
                row[f"{word}_ms"] = 1000 * statistics.median(mine)
                ratios = [a / b for a, b in zip(mine, plain, strict=True)]
                row[f"{word}_ratio"] = statistics.median(ratios)
            rows.append(row)
            if statistics.median(times[name, True]) > PATIENCE:
                del left[name]
    return rows


def exponent(rows: list[dict[str, Any]], way: str, word: str, least: int = 1024) -> float | None:
    """The slope of log time against log length from ``least`` tokens on, by least squares; None from one length."""
    points = [(math.log(r["length"]), math.log(r[word])) for r in rows if r["way"] == way and r["length"] >= least]
    if len(points) < 2:
        return None
    x, y = (statistics.fmean(axis) for axis in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def main() -> None:
    """Print what each way bears and takes, and write both down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="passes of each way at each length; medians are reported")
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, help="tokens")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    safety = {name: {"ramp": bears(way, -60, 100), "cliff": bears(way, -2000, 2000)} for name, way in WAYS.items()}
    rows = measure(tuple(asked.lengths), asked.rounds, asked.device)
    print(f"{'way':24}{'error, keys −60…100':>21}{'gradients':>11}{'error, ±2000':>14}{'exponent':>10}")
    growth = {name: {word: exponent(rows, name, word) for word in ("forward_ms", "both_ms")} for name in WAYS}
    for name, found in safety.items():
        errors = [f"{e:.0e}" if (e := one["error"]) is not None else "not finite" for one in found.values()]
        fine = "finite" if found["ramp"]["finite_gradients"] else "NaN"
        slope = growth[name]["both_ms"]
        print(f"{name:24}{errors[0]:>21}{fine:>11}{errors[1]:>14}{'' if slope is None else f'{slope:.2f}':>10}")
    print(f"\n{'way':24}{'tokens':>8}{'forward':>12}{'ratio':>8}{'and backward':>15}{'ratio':>8}")
    for r in rows:
        print(
            f"{r['way']:24}{r['length']:8}{r['forward_ms']:9.2f} ms{r['forward_ratio']:8.2f}"
            f"{r['both_ms']:12.2f} ms{r['both_ratio']:8.2f}"
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    where = RESULTS / ("aft_scan.json" if asked.device == "cpu" else f"aft_scan_{asked.device}.json")
    processor = platform.processor() if asked.device == "cpu" else torch.cuda.get_device_name()
    result = {
        "machine": {
            "clock": "process" if asked.device == "cpu" else "wall",
            "threads": 1,
            "torch": torch.__version__,
            "processor": processor,
        },
        "shape": {"batch": 1, "heads": HEADS, "d_head": WIDTH},
        "bears": safety,
        "times": rows,
        "exponents": growth,
    }
    where.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

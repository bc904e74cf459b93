"""How time and memory of every token mixer grow with the text: forward, forward and backward, and per decoded token.

Run ``python benchmarks/mixers.py`` on an otherwise idle machine; it takes about five minutes on two cores, prints
tables and writes ``mixers.json`` and ``mixers.svg`` to ``benchmarks/results/``. ``--quick``, ``--mixers`` and
``--max-seq`` shorten it, and then write nothing unless ``--out`` names a folder.

Each mixer stands in one run beside its own naive form (the T × T weights of ``map``, made and multiplied with v) and
beside PyTorch's bare ``scaled_dot_product_attention``. Times are medians of samples of all mixers and lengths taken in
turn, so that a drift of the machine hits all alike. Memory is the most that a call holds at once beyond its inputs, see
``mixers_cells.peak``.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import mixers_cells as cells
import mixers_figure
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import strawberry
from strawberry.call import Call
from strawberry.mixers import MIXERS, TokenMixer
from strawberry.norm import norm

RESULTS = Path(__file__).parent / "results"
BATCH, HEADS, WIDTH = 1, 4, 128
SHORTEST, LONGEST = 256, 16384
FITTED = 1024  # growth is fitted to lengths from here on: below, fixed costs count
DECODED = 16  # tokens in one sample of decoding
MOST_MAP = 256 * 2**20  # bytes that the T × T weights of a naive form may take
LEFT_OUT = {"cross": "reads a memory that another layer made, by the same arithmetic as softmax"}
MODES = ("forward", "forward+backward")


def stream(seq: int, device: str, seed: int = 0) -> list[Tensor]:
    """q and k normalised per head as a block makes them, v, and the block's normalised input, fp32."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, BATCH, seq, HEADS, WIDTH // HEADS, generator=generator)
    x = torch.randn(BATCH, seq, WIDTH, generator=generator)
    return [one.to(device) for one in (norm(q), norm(k), v, norm(x))]


def mixer_of(name: str, seq: int, device: str) -> TokenMixer:
    """A mixer as a nano model of this length starts with it."""
    sizes = {"n_heads": HEADS, "d_model": WIDTH, "d_qkv": WIDTH, "seq_len": seq}
    config = strawberry.preset("gpt-nano", mixer=name, n_layers=1, **sizes)
    return strawberry.build(config).blocks[0].mixer.to(device)


def gradients(output: Callable[[], Tensor], leaves: Iterable[Tensor], inputs: list[Tensor]) -> Callable[[], Any]:
    """A run of ``output`` and of its backward pass to all ``leaves``."""
    leaves, ones = list(leaves), torch.ones_like(inputs[0])
    return lambda: torch.autograd.grad(output(), leaves, ones, allow_unused=True)


def without_gradients(output: Callable[[], Tensor]) -> Callable[[], Any]:
    """A run of ``output`` that keeps nothing for a backward pass."""
    return torch.no_grad()(output)


def whole_texts(bench: cells.Bench, names: list[str]) -> None:
    """Forward, and forward and backward, of every mixer, its naive form and SDPA, at all lengths."""
    chosen = []
    for seq in bench.lengths:
        print(f"whole texts, T = {seq}: memory, and how often to sample", flush=True)
        inputs = [one.requires_grad_() for one in stream(seq, bench.device)]
        q, k, v, x = inputs
        forms: list[tuple[str, str, Callable[[], Tensor], list[Tensor]]] = []

        def bare(q: Tensor = q, k: Tensor = k, v: Tensor = v) -> Tensor:
            q, k, v = (one.transpose(1, 2) for one in (q, k, v))
            return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

        forms.append(("sdpa", "sdpa", bare, inputs[:3]))
        for name in names:
            mixer = mixer_of(name, seq, bench.device)
            leaves = [*inputs, *mixer.parameters()]

            def fast(mixer: TokenMixer = mixer, inputs: list[Tensor] = inputs) -> Tensor:
                return mixer(*inputs, None, Call(keep=False))[0]

            def naive(mixer: TokenMixer = mixer, q: Tensor = q, k: Tensor = k, v: Tensor = v, x: Tensor = x) -> Tensor:
                return mixer.mix(mixer.map(q, k, mixer.signals(x)), v)

            forms.append((name, "mixer", fast, leaves))
            size = 4 * BATCH * seq**2 * (WIDTH if mixer.map_axis == "channel" else HEADS)
            if size <= MOST_MAP:
                forms.append((name, "naive", naive, leaves))
            elif size // 4 <= MOST_MAP:
                why = f"its T × T weights alone take {size / 2**30:.1f} GiB, and more at greater lengths"
                bench.skip(name, "naive", "both", seq, why)
        for name, form, output, leaves in forms:
            for mode in MODES:
                run = without_gradients(output) if mode == "forward" else gradients(output, leaves, inputs)
                cell = cells.Cell(name, form, mode, seq, run)
                if bench.admit(cell):
                    chosen.append(cell)
    print("whole texts, all lengths in turn: time", flush=True)
    bench.take(chosen)


def decoding(bench: cells.Bench, names: list[str]) -> dict[str, dict[str, Any]]:
    """Seconds per token after T tokens, all lengths in turn; returns how each mixer's time and state grew."""
    print("decoding", flush=True)
    chosen, states = [], {}
    for seq in bench.lengths:
        for name in names:
            if bench.known.get((name, "mixer", "forward"), (0.0, 0.0))[0] > 5 * bench.limit:
                bench.skip(name, "mixer", "decode", seq, "reading the text before it would take too long")
                continue
            mixer = mixer_of(name, seq + DECODED + 1, bench.device)
            with torch.no_grad():
                _, state = mixer(*stream(seq, bench.device), None, Call())
            run = decoder(mixer, state, seq, bench.device)
            cell = cells.Cell(name, "mixer", "decode", seq, run, tokens=DECODED, warm=True)
            cell.peak_bytes = cells.peak(run, bench.device)
            # Short samples, which one interruption spoils: so more of them.
            took = cell.sample(bench.device) * DECODED
            cell.rounds = min(2 * bench.rounds, max(3, round(2 * bench.budget / took)))
            chosen.append(cell)
            states.setdefault(name, {})[seq] = mixer.state_size(seq)
    bench.take(chosen)
    first, last = bench.lengths[0], bench.lengths[-1]
    found = {}
    for name in names:
        ends = {cell.seq: cell.samples for cell in chosen if cell.mixer == name and cell.seq in (first, last)}
        # Round by round, so that a drift of the machine divides out.
        pairs = zip(ends.get(last, []), ends.get(first, []), strict=False)
        ratios = [long / short for long, short in pairs]
        found[name] = {"ratio": statistics.median(ratios) if ratios else None, "state": states.get(name, {})}
    return found


def decoder(mixer: TokenMixer, state: Any, seq: int, device: str) -> Callable[[], Any]:
    """A run that decodes DECODED tokens one by one after ``state``."""
    new = stream(DECODED, device, seed=1)

    @torch.no_grad()
    def run() -> None:
        carried = state
        for place in range(DECODED):
            _, carried = mixer(*(one[:, place : place + 1] for one in new), carried, Call(seq + place))

    return run


def exponent(points: dict[int, float]) -> float | None:
    """The slope of log time against log T for T ≥ FITTED, by least squares; None with fewer than three points."""
    fitted = [(math.log(seq), math.log(value)) for seq, value in points.items() if seq >= FITTED and value > 0]
    return statistics.linear_regression(*zip(*fitted, strict=True)).slope if len(fitted) >= 3 else None


def growth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fitted exponents of time and memory, one line per mixer, form and mode."""
    lines = []
    for mixer, form, mode in dict.fromkeys((row["mixer"], row["form"], row["mode"]) for row in rows):
        mine = [row for row in rows if (row["mixer"], row["form"], row["mode"]) == (mixer, form, mode)]
        time_of, bytes_of = ({row["seq"]: row[what] for row in mine} for what in ("seconds", "peak_bytes"))
        line = {"mixer": mixer, "form": form, "mode": mode}
        lines.append({**line, "time": exponent(time_of), "memory": exponent(bytes_of)})
    return lines


def show(result: dict[str, Any]) -> None:
    """Print every table: one line per mixer and form, one column per length."""
    lengths = result["shape"]["lengths"]
    fits = {(line["mixer"], line["form"], line["mode"]): line for line in result["growth"]}
    for mode, what, unit, size in (
        ("forward", "seconds", "ms", 1e3), ("forward+backward", "seconds", "ms", 1e3),
        ("forward", "peak_bytes", "MiB", 2**-20), ("forward+backward", "peak_bytes", "MiB", 2**-20),
        ("decode", "seconds", "µs per token", 1e6),
    ):  # fmt: skip
        measure = "time" if what == "seconds" else "memory"
        print(f"\n{mode}: {measure} in {unit}, by T")
        last = "last/first" if mode == "decode" else "exponent"
        print(f"{'':24}" + "".join(f"{seq:>10}" for seq in lengths) + f"{last:>11}")
        rows = [row for row in result["rows"] if row["mode"] == mode]
        for mixer, form in dict.fromkeys((row["mixer"], row["form"]) for row in rows):
            found = {row["seq"]: row[what] for row in rows if (row["mixer"], row["form"]) == (mixer, form)}
            texts = [f"{found[seq] * size:10.4g}" if seq in found else f"{'–':>10}" for seq in lengths]
            fit = result["decode"][mixer]["ratio"] if mode == "decode" else fits[mixer, form, mode][measure]
            label = f"{mixer}, naive" if form == "naive" else mixer
            print(f"{label:24}" + "".join(texts) + (f"{fit:11.2f}" if fit is not None else f"{'–':>11}"))
    print("\nnumbers of the state of one row, by T")
    for mixer, found in result["decode"].items():
        print(f"{mixer:24}" + "".join(f"{found['state'].get(seq, '–'):>10}" for seq in lengths))


def processor() -> str:
    """The processor by the name that Linux has for it, or else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixers", default="", help="comma-separated names; all by default")
    parser.add_argument("--max-seq", type=int, default=LONGEST, help="longest text in tokens")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="up to 2048 tokens, fewer repeats: a look, no result")
    parser.add_argument(
        "--limit", type=float, default=3.0, help="leave out what would take longer, in seconds; a naive form, a third"
    )
    parser.add_argument("--rounds", type=int, default=15, help="samples of each cell, at most")
    parser.add_argument("--budget", type=float, default=0.3, help="seconds of samples per cell; three samples at least")
    parser.add_argument("--out", type=Path, help="folder for mixers.json and mixers.svg")
    given = parser.parse_args()
    longest = min(given.max_seq, 2048) if given.quick else given.max_seq
    names = [name for name in (given.mixers.split(",") if given.mixers else MIXERS) if name not in LEFT_OUT]
    for name, why in LEFT_OUT.items():
        print(f"left out: {name}: {why}")
    lengths = [SHORTEST << power for power in range(32) if SHORTEST << power <= longest]
    print(f"B = {BATCH}, {HEADS} heads × {WIDTH // HEADS}, fp32, {given.device}, {torch.get_num_threads()} threads")
    begun = time.perf_counter()
    budget, rounds = (0.05, 3) if given.quick else (given.budget, given.rounds)
    bench = cells.Bench(given.device, lengths, given.limit, budget, rounds)
    whole_texts(bench, names)
    decode = decoding(bench, names)
    result = {
        "machine": {
            "device": torch.cuda.get_device_name() if given.device == "cuda" else processor(),
            "threads": torch.get_num_threads(), "torch": torch.__version__, "load": os.getloadavg()[0],
        },
        "shape": {"batch": BATCH, "heads": HEADS, "d_head": WIDTH // HEADS, "dtype": "fp32", "lengths": lengths},
        "fitted_from": FITTED, "growth": growth(bench.rows), "decode": decode, "rows": bench.rows,
        "skipped": [{"mixer": name, "why": why} for name, why in LEFT_OUT.items()] + bench.skipped,
        "seconds": round(time.perf_counter() - begun),
    }  # fmt: skip
    show(result)
    print(f"\n{result['seconds']} s")
    whole = not (given.quick or given.mixers or given.max_seq != LONGEST)
    if folder := given.out or (RESULTS if whole else None):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mixers.json").write_text(json.dumps(result, indent=1) + "\n")
        # Read back, so that what is drawn is what was written.
        mixers_figure.draw(json.loads((folder / "mixers.json").read_text()), folder / "mixers.svg")
        print(f"wrote {folder / 'mixers.json'} and {folder / 'mixers.svg'}")


if __name__ == "__main__":
    main()

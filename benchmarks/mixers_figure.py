"""Draws ``benchmarks/results/mixers.json`` as ``mixers.svg``: time and memory of every mixer against the text's length.

``python benchmarks/mixers_figure.py [FOLDER]`` draws it anew from the numbers that are there.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

TEXT, MUTED, GRID, BARE = "#1f2328", "#6a737d", "#e6e8eb", "#1f2328"
# One hue per kind of mixer, from dark to light within it; Okabe and Ito's order of hues.
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "softmax attention": (
        "#b3421b", {"softmax": "#6d1f0a", "abundance": "#b8401a", "infini": "#e2702c", "window": "#d3962b"},
    ),
    "attention-free": (
        "#0b5c96", {"aft-full": "#0a2f63", "aft-local": "#1566b0", "aft-conv": "#3a9bd9", "aft": "#3fb0c0"},
    ),
    "recurrent": (
        "#0f7558", {"delta": "#0b4a36", "gated-retention": "#0f8262", "retention": "#35a06b", "linear": "#7cb342"},
    ),
}  # fmt: skip
OTHERS = ("#6f3fa0", "#a06fc8", "#c79be0")
STYLES = ("-", (0, (6, 1.2)), (0, (3.5, 1)), "-")
MARKS = ("o", "s", "^", "D")
PANELS = (
    ("forward", "seconds", "Forward pass", "ms", 1e3),
    ("forward+backward", "seconds", "Forward and backward", "ms", 1e3),
    ("forward+backward", "peak_bytes", "Peak memory of both passes", "MiB", 2**-20),
    ("decode", "seconds", "One more token, after T tokens", "µs", 1e6),
)


def draw(result: dict[str, Any], path: Path) -> None:
    """Write the figure of what ``benchmarks/mixers.py`` measured; the ending of ``path`` says which format."""
    looks = _looks(dict.fromkeys(row["mixer"] for row in result["rows"] if row["form"] == "mixer"))
    settings: Any = {
        "font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "mixers", "text.color": TEXT,
        "axes.edgecolor": GRID, "xtick.color": MUTED, "ytick.color": MUTED, "axes.labelcolor": MUTED,
    }  # fmt: skip
    with mpl.rc_context(settings):
        figure = Figure(figsize=(12, 11), facecolor="white")
        grid = figure.add_gridspec(2, 2, left=0.055, right=0.86, top=0.872, bottom=0.052, wspace=0.56, hspace=0.24)
        for place, panel in enumerate(PANELS):
            _panel(figure.add_subplot(grid[place // 2, place % 2]), result, looks, *panel)
        _heading(figure, result)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


def _looks(names: Sequence[str] | dict[str, None]) -> dict[str, tuple[str, Any, str]]:
    """(colour, line style, marker) of each mixer."""
    looks = {}
    for _, members in KINDS.values():
        for (name, shade), style, mark in zip(members.items(), STYLES, MARKS, strict=True):
            looks[name] = (shade, style, mark)
    unknown = [name for name in names if name not in looks]
    return looks | {name: (OTHERS[i % 3], STYLES[i % 4], MARKS[i % 4]) for i, name in enumerate(unknown)}


def _panel(
    axes: Axes, result: dict[str, Any], looks: dict[str, Any], mode: str, what: str, title: str, unit: str, size: float
) -> None:
    """One mode and measure on two logarithmic axes, a line per mixer, labelled at its end."""
    lengths = result["shape"]["lengths"]
    rows = [row for row in result["rows"] if row["mode"] == mode and row[what] > 0]
    lines: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    for row in rows:
        xs, ys = lines.setdefault((row["mixer"], row["form"]), ([], []))
        xs.append(row["seq"])
        ys.append(row[what] * size)
    _dress(axes, lengths, [y for _, ys in lines.values() for y in ys])
    ends = []
    for (mixer, form), (xs, ys) in lines.items():
        if form == "naive":
            colour = looks[mixer][0]
            axes.plot(xs, ys, color=colour, lw=0.9, ls=(0, (1, 1.6)), alpha=0.55, zorder=2)
            if xs[-1] < lengths[-1]:
                axes.plot(xs[-1], ys[-1], marker="x", ms=4, mew=0.9, color=colour, alpha=0.7, zorder=2)
            continue
        colour, style, mark = (BARE, (0, (5, 2)), "") if form == "sdpa" else looks[mixer]
        axes.plot(xs, ys, color=colour, lw=1.7, ls=style, marker=mark, ms=3.6, mec="white", mew=0.5, zorder=3)
        ends.append((xs[-1], ys[-1], _label(result, mixer, form, mode, what), colour))
    _labels(axes, ends, lengths[-1])
    first, last = (f"{seq // 1024}k" if seq >= 1024 else str(seq) for seq in (lengths[0], lengths[-1]))
    end = f"{last} ÷ {first}" if mode == "decode" else "exponent"
    axes.set_title(f"{title}, {unit}", loc="left", fontsize=11, fontweight="bold", pad=10)
    axes.annotate(
        end, (1.075, 1.012), xycoords="axes fraction", fontsize=8, color=MUTED, ha="left", va="bottom", style="italic"
    )
    axes.set_xlabel("tokens of the text, T")
    if mode != "decode":
        _slopes(axes, lengths)


def _dress(axes: Axes, lengths: list[int], values: list[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{seq // 1024}k" if seq >= 1024 else str(seq) for seq in lengths])
    axes.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.12)
    low, high = math.log10(min(values)), math.log10(max(values))
    room = 0.06 * max(high - low, 1.0)
    axes.set_ylim(10 ** (low - room), 10 ** (high + room))
    marks = [
        m * 10**p for p in range(math.floor(low) - 1, math.ceil(high) + 1) for m in ((1, 3) if high - low < 4 else (1,))
    ]
    axes.yaxis.set_major_locator(FixedLocator([m for m in marks if low - room <= math.log10(m) <= high + room]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(color=GRID, lw=0.7)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _label(result: dict[str, Any], mixer: str, form: str, mode: str, what: str) -> tuple[str, str]:
    """A line's name and its growth."""
    name = "SDPA alone" if form == "sdpa" else mixer
    if mode == "decode":
        ratio = result["decode"][mixer]["ratio"]
        return name, "–" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
    fits = [fit for fit in result["growth"] if (fit["mixer"], fit["form"], fit["mode"]) == (mixer, form, mode)]
    growth = fits[0]["memory" if what == "peak_bytes" else "time"]
    return name, "–" if growth is None else f"{growth:.2f}"


def _labels(axes: Axes, ends: list[tuple[int, float, tuple[str, str], str]], longest: int) -> None:
    """Each line's name to the right of the panel, as near its end as the others allow, and its growth beside."""
    low, high = (math.log10(value) for value in axes.get_ylim())
    places = sorted(((math.log10(y) - low) / (high - low), x, text, colour) for x, y, text, colour in ends)
    spread = _apart([place for place, *_ in places], 0.037)
    for (place, x, (name, growth), colour), shown in zip(places, spread, strict=True):
        start = (math.log2(x) - math.log2(axes.get_xlim()[0])) / math.log2(axes.get_xlim()[1] / axes.get_xlim()[0])
        leader = Line2D(
            [start + 0.012, 1.0, 1.06], [place, place if x == longest else shown, shown],
            transform=axes.transAxes, color=colour, lw=0.6, alpha=0.6, clip_on=False, zorder=1,
        )  # fmt: skip
        axes.add_line(leader)
        where = {"xycoords": "axes fraction", "va": "center", "fontsize": 8.5, "color": colour}
        axes.annotate(growth, (1.075, shown), ha="left", fontweight="bold", **where)
        axes.annotate(name, (1.175, shown), ha="left", **where)


def _apart(places: list[float], gap: float) -> list[float]:
    """Sorted places moved as little as may be, so that none is nearer than ``gap`` to the next."""
    blocks: list[list[float]] = []  # of places whose labels touch, each centred on its own mean
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _end(blocks[-2], gap) + gap > _start(blocks[-1], gap):
            touched = blocks.pop()
            blocks[-1] += touched
    return [_start(block, gap) + gap * i for block in blocks for i in range(len(block))]


def _start(block: list[float], gap: float) -> float:
    return min(max(sum(block) / len(block) - gap * (len(block) - 1) / 2, 0.0), 1.0 - gap * (len(block) - 1))


def _end(block: list[float], gap: float) -> float:
    return _start(block, gap) + gap * (len(block) - 1)


def _slopes(axes: Axes, lengths: list[int]) -> None:
    """How steep growth with T and with T² is, in the corner."""
    width = math.log(lengths[-1] / lengths[0])
    low, high = axes.get_ylim()
    for power, name in ((1, "∝ T"), (2, "∝ T²")):
        run = 0.17
        rise = power * run * width / math.log(high / low)
        x, y = 0.04, 0.97 - 2 * run * width / math.log(high / low)
        axes.plot([x, x + run], [y, y + rise], transform=axes.transAxes, color=MUTED, lw=1, zorder=1)
        axes.annotate(name, (x + run + 0.01, y + rise), xycoords="axes fraction", color=MUTED, fontsize=8, va="center")


def _heading(figure: Figure, result: dict[str, Any]) -> None:
    shape, machine = result["shape"], result["machine"]
    figure.text(0.055, 0.968, "How token mixers grow with the text", fontsize=17, fontweight="bold", va="center")
    about = (
        f"Batch {shape['batch']}, {shape['heads']} heads × {shape['d_head']}, {shape['dtype']}; {machine['device']}, "
        f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}, torch {machine['torch']}. Medians. "
        "Both axes are logarithmic, so a straight line is a power of T.\n"
        "Beside each name: its exponent of growth, fitted from T = "
        f"{result['fitted_from']:,} on; below right, the time after {shape['lengths'][-1]:,} tokens over that after "
        f"{shape['lengths'][0]}."
    )
    figure.text(0.055, 0.941, about, fontsize=9, color=MUTED, va="center", linespacing=1.45)
    x = 0.055
    for text, colour, style, width in (
        *((kind, colour, "-", 0.021) for kind, (colour, _) in KINDS.items()),
        ("PyTorch's fused attention alone (SDPA)", BARE, (0, (5, 2)), 0.03),
        ("naive: the whole T × T map (× no longer fits)", MUTED, (0, (1, 1.6)), 0.03),
    ):
        figure.add_artist(Line2D([x, x + width], [0.912, 0.912], color=colour, ls=style, lw=2))
        figure.text(x + width + 0.006, 0.912, text, color=colour, fontsize=9, va="center")
        x += width + 0.021 + 0.00585 * len(text)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results"
    draw(json.loads((folder / "mixers.json").read_text()), folder / "mixers.svg")

"""Numbers, times and states in a person's words."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from lab.status import Status, nth

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

# Colour and icon of each state's badge.
BADGES = {
    "waiting": ("violet", ":material/schedule:"),
    "starting": ("blue", ":material/hourglass_top:"),
    "preparing data": ("blue", ":material/hourglass_top:"),
    "training": ("green", ":material/play_arrow:"),
    "paused": ("orange", ":material/pause:"),
    "finished": ("gray", ":material/check:"),
    "stopped": ("gray", ":material/stop:"),
    "failed": ("red", ":material/error:"),
}


def count(value: float) -> str:
    """Three digits and a unit: 1.23M, 45.6k, 789."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def size(value: float) -> str:
    """Bytes: 1.2 GB, 340 MB."""
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{max(value / 1e6, 1):.0f} MB"


def duration(seconds: float) -> str:
    """A time that need not be exact: 40 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def styled(table: pd.DataFrame, said: dict[str, Callable[[float], str]]) -> "Styler":
    """A table whose named columns are read as ``said`` says, and still sorted as the numbers they are."""
    style = table.style
    style.format({name: say for name, say in said.items() if name in table}, na_rep="–")
    return style


def passes(number: int) -> str:
    """1 pass, 3 passes."""
    return f"{number} pass" if number == 1 else f"{number} passes"


def badge(status: Status) -> str:
    """What a badge says of a run: its state, and its place in the line if it waits."""
    return f"{status.state}: {nth(status.place)} in line" if status.place else status.state


def progress(status: Status) -> str:
    """Where a run is: step, speed, time left."""
    parts = [f"step {status.step:,} of {status.steps:,}" if status.steps else f"step {status.step:,}"]
    if status.state == "training":
        if status.tokens_per_s:
            parts.append(f"{count(status.tokens_per_s)} tokens/s")
        if status.eta is not None:
            parts.append(f"about {duration(status.eta)} left")
    return " · ".join(parts)


def literal(text: str) -> str:
    """Text that Markdown shows as it is, whoever wrote it: no tag, no link, no icon comes of it."""
    escaped = re.sub(r"([\\`*_\[\]~$<>&])", r"\\\1", text)
    # Addresses, emoji and icons are found after escapes are resolved; a joiner that takes no room parts them.
    return re.sub(r"(:(?=[\w/+-])|@(?=\w)|\bwww(?=\.))", "\\1\u2060", escaped, flags=re.IGNORECASE)

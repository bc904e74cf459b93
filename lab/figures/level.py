"""Equal scales for figures that are to be compared."""

from typing import Any

import plotly.graph_objects as go


def level(*figures: go.Figure) -> None:
    """Give figures of one kind the same range in each of their colour scales: the widest one among them."""
    for name in {axis for figure in figures for axis in figure.layout if axis.startswith("coloraxis")}:  # type: ignore[union-attr]
        _same([figure.layout[name] for figure in figures], "cmin", "cmax")  # type: ignore[index]
    for traces in zip(*(figure.select_traces({"type": "heatmap"}) for figure in figures), strict=False):
        _same(list(traces), "zmin", "zmax")


def _same(scales: list[Any], low: str, high: str) -> None:
    ranges = [(scale[low], scale[high]) for scale in scales]
    if any(None in pair for pair in ranges):
        return
    for scale in scales:
        scale[low], scale[high] = min(first for first, _ in ranges), max(last for _, last in ranges)

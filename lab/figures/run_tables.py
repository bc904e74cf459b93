"""The numbers of the figures that set runs side by side, as tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab.figures.contrast import same_text
from lab.figures.filmstrip import frame_names
from lab.figures.overlay import BY, UNITS, Curve
from lab.probe import Probe


def loss_overlay(curves: Sequence[Curve], *, by: str = "step", unit: str = "nats") -> pd.DataFrame:
    """One line per run and step: its place on the axis, and the losses of training and validation."""
    parts = []
    for curve in curves:
        factor = curve.factor(unit)
        if factor is None:
            continue
        made = pd.DataFrame({
            "run": curve.name, "step": curve.steps, BY[by]: curve.places(by),
            f"training, {UNITS[unit]}": np.asarray(curve.losses, dtype=float) * factor,
        })  # fmt: skip
        steps, losses = curve.validation
        validated = {"step": steps, f"validation, {UNITS[unit]}": np.asarray(losses, dtype=float) * factor}
        parts.append(made.merge(pd.DataFrame(validated), on="step", how="left"))
    made = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", "step"])
    return made.loc[:, ~made.columns.duplicated()]


def contrast_filmstrip(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    other_layer: int | None = None,
    projection: str = "qkv",
    which: str = "current",
) -> pd.DataFrame:
    """One line per shown entry: which of the two, frame, row, column, weight in its own size."""
    parts = []
    for letter, each, number in (("A", probe, layer), ("B", other, layer if other_layer is None else other_layer)):
        rows, columns = each.picture_grid(projection)
        for frame, names in enumerate(frame_names(each.frames)):
            entries = {
                "of": letter, "frame": names[0 if which == "current" else 1], "row": np.repeat(rows, len(columns)),
                "column": np.tile(columns, len(rows)),
                "weight": each.picture(number, projection, frame, which=which).ravel(),
            }  # fmt: skip
            parts.append(pd.DataFrame(entries))
    return pd.concat(parts, ignore_index=True)


def contrast_experts(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    other_layer: int | None = None,
    loop: int = 0,
    kind: str = "ffn",
    values: str = "gates",
) -> pd.DataFrame:
    """One line per token of each, one column per expert."""
    parts = []
    for letter, each, number in (("A", probe, layer), ("B", other, layer if other_layer is None else other_layer)):
        shown = (each.gates if values == "gates" else each.probs)(number, loop, kind)
        made = pd.DataFrame(shown, columns=each.expert_names(number, kind))
        made.insert(0, "token", _tokens(each))
        made.insert(0, "of", letter)
        parts.append(made)
    return pd.concat(parts, ignore_index=True)


def contrast_maps(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    other_layer: int | None = None,
    loop: int = 0,
    index: int | None = None,
) -> pd.DataFrame:
    """One line per pair of tokens: who reads, who is read, the weight in A and in B, or in one where texts differ."""
    weights = [probe.map(layer, loop, index), other.map(layer if other_layer is None else other_layer, loop, index)]
    if same_text(probe, other):
        reads, read = np.tril_indices(probe.tokens)
        names = np.array(_tokens(probe))
        columns = {"A": weights[0][reads, read], "B": weights[1][reads, read]}
        made = pd.DataFrame({"reads": names[reads], "is read": names[read], **columns})
        return made.assign(difference=made["A"] - made["B"])
    parts = []
    for letter, each, map in zip("AB", (probe, other), weights, strict=True):
        reads, read = np.tril_indices(each.tokens)
        names = np.array(_tokens(each))
        parts.append(
            pd.DataFrame({"of": letter, "reads": names[reads], "is read": names[read], "weight": map[reads, read]})
        )
    return pd.concat(parts, ignore_index=True)


def _tokens(probe: Probe) -> list[str]:
    return [f"{place} {piece}" for place, piece in enumerate(probe.pieces)]

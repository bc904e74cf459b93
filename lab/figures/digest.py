"""A long table in brief: what a person can read where all of its lines would be too many."""

from typing import Any

import numpy as np
import pandas as pd

LINES, COLUMNS, SPREAD = 1500, 40, 150
GROUPS = 64
PLACES = ("row", "column")


def digest(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The table itself where it is small, with no words; otherwise fewer numbers, and a sentence that says which.

    A wide table, a map, becomes the largest entries of each line; the entries of matrices become their sizes; a long
    course becomes lines evenly apart; any other list its largest entries.
    """
    if len(table.columns) > COLUMNS:
        return _largest_of_lines(table)
    if len(table) <= LINES and not set(PLACES) <= set(table.columns):
        return table, ""
    numbers = [name for name in table.columns if pd.api.types.is_numeric_dtype(table[name]) and name not in PLACES]
    words = [name for name in table.columns if name not in numbers and name not in PLACES]
    if set(PLACES) <= set(table.columns) and (not words or len(table[words].drop_duplicates()) <= GROUPS):
        return _sizes(table, words, numbers), "In brief: the size (RMS) and the range of the entries."
    if not words:
        kept = np.unique(np.linspace(0, len(table) - 1, SPREAD).round().astype(int))
        return table.iloc[kept], f"In brief: {len(kept)} of {len(table):,} lines, evenly apart."
    order = np.argsort(-np.nan_to_num(table[numbers[0]].abs().to_numpy()), kind="stable")[:SPREAD]
    return table.iloc[order], f"In brief: the {len(order)} lines of {len(table):,} with the largest {numbers[0]}."


def _largest_of_lines(table: pd.DataFrame, most: int = 3) -> tuple[pd.DataFrame, str]:
    label, *others = table.columns
    weights = np.nan_to_num(table[others].to_numpy(dtype=np.float64))
    order = np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :most]
    line = np.arange(len(table))
    brief = {str(label): table[label]}
    for place in range(order.shape[1]):
        names = np.asarray(others, dtype=object)[order[:, place]]
        values = weights[line, order[:, place]]
        brief[f"largest {place + 1}"] = [
            f"{name}: {value:.3g}" if value else "" for name, value in zip(names, values, strict=True)
        ]
    return pd.DataFrame(brief), f"In brief: the {most} largest of each line's {len(others)} entries."


def _sizes(table: pd.DataFrame, words: list[str], numbers: list[str]) -> pd.DataFrame:
    groups = dict(iter(table.groupby(words, sort=False))) if words else {(): table}
    lines = []
    for key, part in groups.items():
        measured = {}
        for name in numbers:
            values = part[name].to_numpy(dtype=np.float64)
            measured |= {f"{name}, RMS": np.sqrt(np.square(values).mean()), f"{name}, lowest": values.min()}
            measured[f"{name}, highest"] = values.max()
        named: Any = key
        lines.append({**dict(zip(words, named, strict=True)), "entries": len(part), **measured})
    return pd.DataFrame(lines)

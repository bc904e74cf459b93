"""The tables of a study's report: what variants are, what they reached and cost, what each learning rate reached."""

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from lab.ablate import glossary, wording
from lab.ablate.metric import METRICS
from lab.ablate.progress import duration
from lab.ablate.results import CellResult, Results, Row

LARGE = 10.0  # an effect size beyond which its number says nothing more


def variants(results: Results) -> pd.DataFrame:
    """What each variant is, and what it costs, all data sets together."""
    lines = []
    for name in results.study["variants"]:
        rows = [row for row in results.rows if row.variant == name]
        lines.append({
            "variant": name, "what is set": glossary.changed(rows[0]),
            "parameters": _span([row.parameters for row in rows]),
            "active for a token": _span([row.active_parameters for row in rows]),
            "steps": _span([row.steps for row in rows]), "tokens seen": _span([row.tokens for row in rows]),
            "state, numbers per row": _span([row.state_size for row in rows]) if rows[0].causal else "–",
        })  # fmt: skip
    table = pd.DataFrame(lines)
    alike = all(row.active_parameters == row.parameters for row in results.rows)
    return table.drop(columns="active for a token") if alike else table


def grid(results: Results) -> pd.DataFrame:
    """Variants down, data across."""
    lines: dict[str, dict[str, str]] = {}
    for row in results.rows:
        told = f"{wording.score(row)}: {wording.came_to(results, row)}"
        lines.setdefault(row.variant, {"variant": row.variant})[row.data] = told
    return pd.DataFrame(list(lines.values()))


def of(results: Results, data: str) -> Iterator[pd.DataFrame]:
    """The tables of one data set; columns that nothing fills are left out."""
    rows = [row for row in results.rows if row.data == data]
    for line in (_found, _spent):
        table = pd.DataFrame([line(results, row) for row in rows])
        yield table.replace("", pd.NA).dropna(axis="columns", how="all").fillna("")
    tried = [cell for cell in results.cells if (cell.data, cell.stage) == (data, "tune")]
    if tried:
        yield _tuned(rows, tried)


def _found(results: Results, row: Row) -> dict[str, str]:
    """What a variant reached."""
    verdict = results.verdict(row.variant, row.data)
    rate = "–" if row.learning_rate is None else f"{row.learning_rate:g}{' (edge)' if row.edge else ''}"
    effect = None if verdict is None or verdict.floored else verdict.effect
    return {
        "variant": row.variant,
        METRICS[row.metric].words: wording.score(row),
        "gain (95 % interval)": wording.gain(verdict),
        "sd of the gains": wording.believed(verdict),
        "verdict": wording.came_to(results, row),
        "learning rate": rate,
        "Hedges g": "" if effect is None else _effect(effect),
    }


def _effect(size: float) -> str:
    return f"{size:+.1f}" if abs(size) < LARGE else f"beyond {math.copysign(LARGE, size):+.0f}"


def _spent(_: Results, row: Row) -> dict[str, str]:
    """What a variant cost."""
    shared = row.routing
    return {
        "variant": row.variant,
        "parameters": f"{row.parameters:,}",
        "FLOPs of training": wording.short(row.flops),
        "time": "–" if row.seconds is None else duration(row.seconds),
        "state, numbers per row": f"{row.state_size:,}" if row.causal else "–",
        "FLOPs of a token forward": wording.short(row.decode_flops),
        "dead experts": "" if shared is None else f"{shared.dead:.2g} of {shared.experts}",
        "evenness of experts": "" if shared is None else f"{shared.evenness:.2f}",
    }


def _tuned(rows: Sequence[Row], tried: Sequence[CellResult]) -> pd.DataFrame:
    """What each learning rate reached in tuning, with a seed of its own."""
    rates = sorted({cell.learning_rate for cell in tried})
    lines = []
    for row in rows:
        own = {cell.learning_rate: _trial(cell, row.metric) for cell in tried if cell.variant == row.variant}
        lines.append({"variant": row.variant, **{f"rate {rate:g}": own.get(rate, "") for rate in rates}})
    return pd.DataFrame(lines)


def _trial(cell: CellResult, metric: str) -> str:
    score = getattr(cell, metric)
    if cell.state == "diverged" or score is None:
        return "diverged" if cell.state == "diverged" else "–"
    return f"{score:.4g} at step {cell.step:,}" if cell.state == "stopped" else f"{score:.4g}"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"

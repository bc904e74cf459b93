"""What the variants that are not the reference are to one another: nobody asked, so all pairs are corrected for."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from lab.ablate import wording
from lab.ablate.results import Results, Row
from lab.ablate.verdict import BETTER, EQUAL, WORSE, Comparison, Verdict, judge


def others(results: Results) -> list[Verdict]:
    """A verdict for each two variants that have a rank on the same data, the reference left out; data by data.

    The first of the two takes the reference's place. All pairs on a data set are judged together, since any of them may
    catch the eye; what has no rank, is void or lacks a training is not among them.
    """
    seeds, study = [str(seed) for seed in results.study["seeds"]], results.study
    found = []
    for data in dict.fromkeys(row.data for row in results.rows):
        ranked = [row for row in results.rows if row.data == data and _has_rank(row, seeds)]
        pairs = [_comparison(first, second, seeds) for first, second in combinations(ranked, 2)]
        found += judge(pairs, study["delta"], study["alpha"])
    return found


def told(results: Results, pairs: Sequence[Verdict]) -> str:
    """How the pairs were judged, and how many of them are settled."""
    all_, known = (Counter(one.data for one in some) for some in (pairs, [one for one in pairs if _settles(one)]))
    counts = ", ".join(f"{known[data]} of {count} on {data}" for data, count in all_.items())
    return (
        "Nobody asked for these pairs beforehand, and the answer above does not rest on them. They are judged in the "
        "same way, corrected for all pairs on the same data alone (Holm): for each data set, a chance of "
        f"{results.study['alpha']:g} that any is falsely called different. These seeds settle {counts}."
    )


def settled(pairs: Sequence[Verdict]) -> pd.DataFrame:
    """A line for each pair that is better, worse or equal."""
    return pd.DataFrame([
        {
            "variant": one.variant, "is": f"{one.word} {'to' if one.word == EQUAL else 'than'} {one.reference}",
            "gain (95 % interval)": wording.gain(one), "on": one.data,
        }
        for one in pairs if _settles(one)
    ])  # fmt: skip


def _settles(verdict: Verdict) -> bool:
    return verdict.word in (BETTER, WORSE, EQUAL)


def _has_rank(row: Row, seeds: list[str]) -> bool:
    return not row.reference and row.causal and not row.void and all(seed in row.scores for seed in seeds)


def _comparison(first: Row, second: Row, seeds: list[str]) -> Comparison:
    theirs, ours = (tuple(row.scores[seed] for seed in seeds) for row in (first, second))
    return Comparison(first.data, second.variant, first.variant, first.metric, theirs, ours)

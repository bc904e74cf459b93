"""From scores to words: better, worse, equal within δ or not enough evidence; and what is void or has no rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.ablate.metric import METRICS, Metric
from lab.ablate.statistics import MOST_SEEDS, bootstrap, hedges, holm, paired, seeds_needed

BETTER, WORSE, EQUAL, UNSETTLED = "better", "worse", "equal", "not enough evidence"
VOID, UNRANKED, PENDING = "void", "not ranked", "pending"
WORDS = (BETTER, WORSE, EQUAL, UNSETTLED, VOID, UNRANKED, PENDING)
LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """A variant against the reference on one data set: scores by seed, in the same order of seeds.

    void, unranked, pending: a sentence that says why the comparison counts for nothing, why the variant has no rank,
    or what is still missing; at most one of the three, and none where the scores decide.
    """

    data: str
    variant: str
    reference: str
    metric: str
    reference_scores: tuple[float, ...]
    variant_scores: tuple[float, ...]
    void: str = ""
    unranked: str = ""
    pending: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to. ``word`` is one of :data:`WORDS`; ``sentence`` says it with its numbers.

    gain: mean over seeds, positive is better, as a share of the reference's mean (of accuracy: as it is); low, high:
    Student's 95 % interval; sd: the spread from seed to seed that was believed; bootstrap: BCa's interval. p: of the
    paired t-test, then corrected by Holm over the study; p_equality: of TOST, then corrected. effect: Hedges' g_av.
    further_seeds: how many more would settle it with chance 0.8 if gain and spread are as they seem, for a verdict of
    not enough evidence; None beyond 200.
    """

    data: str
    variant: str
    reference: str
    metric: str
    word: str
    sentence: str
    seeds: int = 0
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    bootstrap: tuple[float, float] | None = None
    p: float | None = None
    p_corrected: float | None = None
    p_equality: float | None = None
    p_equality_corrected: float | None = None
    effect: float | None = None
    further_seeds: int | None = None


def briefly(verdict: Verdict) -> tuple[str, str]:
    """A verdict in few words, and what goes with them: the gain, or how many seeds it would take."""
    if verdict.word == UNSETTLED:
        more = verdict.further_seeds
        return verdict.word, f"> {MOST_SEEDS} seeds" if more is None else f"≈ {more} more seed{'s' * (more != 1)}"
    word = f"{verdict.word}: reads the future" if verdict.word == UNRANKED else verdict.word
    return word, "" if verdict.gain is None else METRICS[verdict.metric].says(verdict.gain)


def decide(gains: np.ndarray, margin: float, *, alpha: float = 0.05, least_sd: np.ndarray | float = 0.0) -> np.ndarray:
    """The words (..., m) for gains (..., m, n) of m comparisons that are judged together; the rest as for
    :func:`~lab.ablate.statistics.paired`."""
    found = paired(gains, margin, least_sd=least_sd)
    return called(found.mean, holm(found.p_difference), holm(found.p_equality), alpha)


def called(mean: np.ndarray, p_difference: np.ndarray, p_equality: np.ndarray, alpha: float) -> np.ndarray:
    """The words (..., m) for mean gains and corrected p-values, each (..., m).

    Differences are called with a chance of at most ``alpha`` for any false one among the m, and so is equality. A
    difference that is real and lies within the margin is called equal: the margin says that it does not matter.
    """
    different = np.where(p_difference > alpha, UNSETTLED, np.where(mean > 0, BETTER, WORSE))
    return np.where(p_equality <= alpha, EQUAL, different)


def doubt(gains: np.ndarray) -> np.ndarray:
    """The root mean square spread (...) of the gains (..., m, n) of all comparisons on one data set.

    A task is often solved by some seeds and not by others: then three of three against none of three has no spread at
    all, and is chance, and so is three of three against three of three. What the other variants show is believed
    instead, for accuracies; where no seed of any variant fails, nothing shows that one could.
    """
    return np.sqrt(gains.var(-1, ddof=1).mean(-1))


def judge(comparisons: Sequence[Comparison], delta: float, alpha: float = 0.05) -> list[Verdict]:
    """A verdict for each comparison of a study, in their order; what has no rank is measured, and left out of Holm's
    correction, and what is void or pending is not even measured.

    ``delta`` is the margin within which two variants count as equal, a share as ``gain`` is.
    """
    ranked = [c for c in comparisons if not (c.void or c.unranked or c.pending)]
    words = iter(_ranked(ranked, delta, alpha))
    verdicts = []
    for comparison in comparisons:
        if comparison.void or comparison.pending:
            word = VOID if comparison.void else PENDING
            verdicts.append(_told(comparison, word, comparison.void or comparison.pending, {}))
        elif comparison.unranked:
            verdicts.append(_told(comparison, UNRANKED, comparison.unranked, _measured(comparison, delta)))
        else:
            verdicts.append(next(words))
    return verdicts


def _shares(comparison: Comparison) -> tuple[Metric, np.ndarray]:
    metric = METRICS[comparison.metric]
    gains = metric.gains(comparison.reference_scores, comparison.variant_scores)
    return metric, gains / metric.unit(comparison.reference_scores)


def _measured(comparison: Comparison, delta: float, least: float = 0.0) -> dict[str, Any]:
    metric, shares = _shares(comparison)
    found = paired(shares, delta, least_sd=max(metric.resolution, least), level=LEVEL)
    low, high = metric.bounded(found.low), metric.bounded(found.high)
    sign = 1 if metric.higher else -1
    scores = (sign * np.array(scores) for scores in (comparison.reference_scores, comparison.variant_scores))
    return {
        "seeds": len(shares),
        "gain": float(found.mean),
        "low": low,
        "high": high,
        "sd": float(found.sd),
        "bootstrap": bootstrap(shares, LEVEL),
        "p": float(found.p_difference),
        "p_equality": float(found.p_equality),
        "effect": hedges(*scores),
    }


def _least_spreads(comparisons: Sequence[Comparison]) -> list[float]:
    """For each comparison the spread below which its own is not believed; 0 where scores have no bounds."""
    least = []
    for comparison in comparisons:
        same = [c for c in comparisons if c.data == comparison.data and METRICS[c.metric].absolute]
        alike = [_shares(c)[1] for c in same if len(c.variant_scores) == len(comparison.variant_scores)]
        least.append(float(doubt(np.array(alike))) if comparison in same else 0.0)
    return least


def _ranked(comparisons: Sequence[Comparison], delta: float, alpha: float) -> list[Verdict]:
    if not comparisons:
        return []
    measured = [
        _measured(comparison, delta, least)
        for comparison, least in zip(comparisons, _least_spreads(comparisons), strict=True)
    ]
    different = holm(np.array([one["p"] for one in measured]))
    equal = holm(np.array([one["p_equality"] for one in measured]))
    words = called(np.array([one["gain"] for one in measured]), different, equal, alpha)
    # What was found already asks for no correction of what is still open.
    levels = {
        "alpha_difference": alpha / max(1, int((different > alpha).sum())),
        "alpha_equality": alpha / max(1, int((equal > alpha).sum())),
    }
    verdicts = []
    for comparison, one, p, q, word in zip(comparisons, measured, different, equal, map(str, words), strict=True):
        further = None
        if word == UNSETTLED:
            needed = seeds_needed(one["gain"], one["sd"], delta, power=POWER, **levels)
            further = None if needed is None else max(1, needed - one["seeds"])
        numbers = {**one, "p_corrected": float(p), "p_equality_corrected": float(q), "further_seeds": further}
        verdicts.append(_told(comparison, word, _sentence(comparison, word, numbers, delta), numbers))
    return verdicts


def _told(comparison: Comparison, word: str, sentence: str, numbers: dict[str, Any]) -> Verdict:
    c = comparison
    return Verdict(c.data, c.variant, c.reference, c.metric, word, sentence, **numbers)


def _sentence(comparison: Comparison, word: str, numbers: dict[str, Any], delta: float) -> str:
    c, metric = comparison, METRICS[comparison.metric]
    for_or_against = "in its favour" if numbers["gain"] >= 0 else "to its disadvantage"
    low, high, gain = (metric.says(numbers[key]) for key in ("low", "high", "gain"))
    seen = f"{metric.words} {gain[1:]} {for_or_against}" if gain[1:] != metric.says(0)[1:] else "no difference was seen"
    measured = f"{seen} (95 % interval of the gain {low} to {high}, {numbers['seeds']} seeds)"
    if word in (BETTER, WORSE):
        p = _p(numbers["p_corrected"])
        return f"On {c.data}, {c.variant} is {word} than {c.reference}: {measured}, corrected p {p}."
    if word == EQUAL:
        p, within = _p(numbers["p_equality_corrected"]), f"{100 * delta:g} {metric.unit_words}"
        return f"On {c.data}, {c.variant} equals {c.reference} within {within}: {measured}, corrected p {p}."
    more = numbers["further_seeds"]
    hope = (
        f"more than {MOST_SEEDS} seeds would be needed"
        if more is None
        else f"about {more} further seed{'s' * (more != 1)} would settle it four times in five, if gain and spread are "
        "as they seem"
    )
    return f"On {c.data}, there is not enough evidence between {c.variant} and {c.reference}: {measured}; {hope}."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"

"""From scores to words: better, worse, equal within δ or not enough evidence; and what is void or has no rank."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lab.ablate.metric import METRICS, Metric
from lab.ablate.statistics import MOST_SEEDS, bootstrap, hedges, holm, paired, powers, seeds_needed

BETTER, WORSE, EQUAL, UNSETTLED = "better", "worse", "equal", "not enough evidence"
VOID, UNRANKED, PENDING = "void", "not ranked", "pending"
WORDS = (BETTER, WORSE, EQUAL, UNSETTLED, VOID, UNRANKED, PENDING)
LEVEL = 0.95
POWER = 0.8
SCATTER = 0.05  # spread of accuracies from seed to seed beyond which they are no longer alike


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
    Student's 95 % interval; sd: the spread of the gains from seed to seed, for this and for p, no smaller than the
    metric's resolution; own_sd: what these seeds alone show; equality_sd: what is believed when equality is tested.
    bootstrap: BCa's interval, of these seeds alone. p: of the paired t-test, of accuracies no smaller than luck makes
    it, then corrected by Holm over the study; p_equality: of TOST, then corrected. effect: Hedges' g_av, in units of
    the scores' own spread.
    further_seeds: how many more would settle it with chance 0.8 if gain and spread are as they seem, for a verdict of
    not enough evidence; None beyond 200. further_for: what they would show, one of better, worse and equal.
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
    own_sd: float | None = None
    equality_sd: float | None = None
    further_for: str = ""

    @property
    def borrowed(self) -> bool:
        """Whether a larger spread was believed than these seeds show, for what the verdict says."""
        return self.floored or self.doubted is not None

    @property
    def floored(self) -> bool:
        """Whether these seeds show a smaller spread than is believed of so few."""
        return self.sd is not None and self.own_sd is not None and self.sd > 1.001 * self.own_sd

    @property
    def doubted(self) -> float | None:
        """The spread that kept it from being called equal, or did not, where it is larger than ``sd``."""
        if self.sd is None or self.own_sd is None or self.equality_sd is None or self.word not in (EQUAL, UNSETTLED):
            return None
        return self.equality_sd if self.equality_sd > 1.001 * self.sd else None

    @property
    def scatters(self) -> bool:
        """Whether seeds differ so much that forecasts from them are guesses: some solve a task and some don't."""
        sd = self.equality_sd if self.further_for == EQUAL else self.sd
        return METRICS[self.metric].absolute and sd is not None and sd > SCATTER


def briefly(verdict: Verdict) -> tuple[str, str]:
    """A verdict in few words, and what goes with them: the gain, or how many seeds it would take, and to say what."""
    if verdict.word == UNSETTLED:
        more, claim = verdict.further_seeds, f" to say {verdict.further_for}" if verdict.further_for else ""
        if more is None:
            return verdict.word, f"> {MOST_SEEDS} seeds"
        return verdict.word, f"{'perhaps' if verdict.scatters else '≈'} {more} more seed{'s' * (more != 1)}{claim}"
    word = f"{verdict.word}: reads the future" if verdict.word == UNRANKED else verdict.word
    return word, "" if verdict.gain is None else METRICS[verdict.metric].says(verdict.gain)


def spread(verdict: Verdict) -> str:
    """What spread from seed to seed a verdict rests on, where it is not the seeds' own; else nothing."""
    if not verdict.borrowed or verdict.sd is None or verdict.own_sd is None:
        return ""
    said = [f"own sd of the gains {100 * verdict.own_sd:.2g} {METRICS[verdict.metric].unit_words}"]
    if verdict.floored:
        said.append(f"no less than {100 * verdict.sd:.2g} is believed of so few seeds")
    if verdict.doubted is not None:
        said.append(f"{100 * verdict.doubted:.2g} to call it equal, since variants scatter so on this data")
    return ", ".join(said)


def margin(delta: float, metric: Metric) -> str:
    """The margin in words: ``1 %``, or ``1 point`` of accuracy."""
    unit = metric.unit_words
    return f"{100 * delta:g} {unit.removesuffix('s') if 100 * delta == 1 else unit}"


def decide(gains: np.ndarray, margin: float, *, alpha: float = 0.05, **believed: Any) -> np.ndarray:
    """The words (..., m) for gains (..., m, n) of m comparisons that are judged together; what is ``believed`` of
    spreads is as for :func:`~lab.ablate.statistics.paired`."""
    found = paired(gains, margin, **believed)
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

    A task is often solved by some seeds and not by others, and three of three against three of three may be chance. To
    call accuracies equal, what the other variants show is believed; where no seed of any fails, nothing shows that one
    could.
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


def _measured(comparison: Comparison, delta: float, doubted: float = 0.0) -> dict[str, Any]:
    metric, shares = _shares(comparison)
    found = paired(
        shares, delta, least_sd=metric.resolution, doubt=doubted, all_or_nothing=metric.absolute, level=LEVEL
    )
    low, high = metric.bounded(found.low), metric.bounded(found.high)
    sign = 1 if metric.higher else -1
    scores = (sign * np.array(scores) for scores in (comparison.reference_scores, comparison.variant_scores))
    return {
        "seeds": len(shares),
        "gain": float(found.mean),
        "low": low,
        "high": high,
        "sd": float(found.sd),
        "own_sd": float(shares.std(ddof=1)),
        "equality_sd": float(found.equality_sd),
        "bootstrap": bootstrap(shares, LEVEL),
        "p": float(found.p_difference),
        "p_equality": float(found.p_equality),
        "effect": hedges(*scores),
    }


def _doubts(comparisons: Sequence[Comparison]) -> list[float]:
    """For each comparison the smallest spread with which it may be called equal; 0 where scores have no bounds."""
    doubts = []
    for comparison in comparisons:
        same = [c for c in comparisons if c.data == comparison.data and METRICS[c.metric].absolute]
        alike = [_shares(c)[1] for c in same if len(c.variant_scores) == len(comparison.variant_scores)]
        doubts.append(float(doubt(np.array(alike))) if comparison in same else 0.0)
    return doubts


def _ranked(comparisons: Sequence[Comparison], delta: float, alpha: float) -> list[Verdict]:
    if not comparisons:
        return []
    measured = [
        _measured(comparison, delta, doubted)
        for comparison, doubted in zip(comparisons, _doubts(comparisons), strict=True)
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
        numbers = {**one, "p_corrected": float(p), "p_equality_corrected": float(q)}
        if word == UNSETTLED:
            numbers |= _further(one, METRICS[comparison.metric], delta, levels)
        made = _told(comparison, word, "", numbers)
        verdicts.append(replace(made, sentence=_sentence(made, delta)))
    return verdicts


def _further(one: dict[str, Any], metric: Metric, delta: float, levels: dict[str, float]) -> dict[str, Any]:
    """How many further seeds would settle it, and for which claim."""
    told: dict[str, Any] = {**levels, "equality_sd": one["equality_sd"], "all_or_nothing": metric.absolute}
    needed = seeds_needed(one["gain"], one["sd"], delta, power=POWER, **told)
    if needed is None:
        return {}
    different, equal = powers(np.array(needed), one["gain"], one["sd"], delta, **told)
    claim = EQUAL if equal > different else BETTER if one["gain"] > 0 else WORSE
    return {"further_seeds": max(1, needed - one["seeds"]), "further_for": claim}


def _told(comparison: Comparison, word: str, sentence: str, numbers: dict[str, Any]) -> Verdict:
    c = comparison
    return Verdict(c.data, c.variant, c.reference, c.metric, word, sentence, **numbers)


def _sentence(v: Verdict, delta: float) -> str:
    metric = METRICS[v.metric]
    low, high, gain = (metric.says(value or 0.0) for value in (v.low, v.high, v.gain))
    fewer = "fewer" if metric.words.startswith("bits") else "less"
    more = "more" if ((v.gain or 0.0) > 0) == metric.higher else fewer
    seen = f"{gain[1:]} {more} {metric.words}" if gain[1:] != metric.says(0)[1:] else "no difference in the mean"
    believed = f"; {spread(v)}" if v.borrowed else ""
    measured = f"{seen} (95 % interval of the gain {low.split()[0]} to {high}, {v.seeds} seeds{believed})"
    if v.word in (BETTER, WORSE):
        p = _p(v.p_corrected or 0.0)
        return f"On {v.data}, {v.variant} is {v.word} than {v.reference}: {measured}, corrected p {p}."
    within = margin(delta, metric)
    if v.word == EQUAL:
        p = _p(v.p_equality_corrected or 0.0)
        return (
            f"On {v.data}, {v.variant} equals {v.reference} within {within}: {measured}, corrected p of equality {p}."
        )
    hope = f"more than {MOST_SEEDS} seeds would be needed"
    if v.further_seeds is not None:
        s = "s" * (v.further_seeds != 1)
        claim = f"equal within {within}" if v.further_for == EQUAL else v.further_for
        hope = f"about {v.further_seeds} further seed{s} would show four times in five that it is {claim}, if "
        hope += "gain and spread are as they seem"
        if v.scatters:
            hope += f": a guess, from {v.seeds} seeds of a task that some solve and others do not"
    return f"On {v.data}, there is not enough evidence between {v.variant} and {v.reference}: {measured}; {hope}."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"

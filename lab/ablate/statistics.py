"""What a handful of paired seeds can tell: tests, intervals, effect sizes, and how many more seeds it would take."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import special, stats

RESAMPLES = 9999
MOST_SEEDS = 200  # a study that needs more than these is not going to be made


@dataclass(frozen=True)
class Paired:
    """What n paired differences say, each field of shape (...).

    mean, sd: of the differences. low, high: Student's interval for the mean at the level asked for. p_difference:
    two-sided paired t-test of "the mean is 0". p_equality: the larger of the two one-sided t-tests of "the mean lies
    at or beyond a margin" (TOST: Schuirmann 1987); small where the mean is within the margin for sure. equality_sd: the
    spread that these two were made with.
    """

    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_difference: np.ndarray
    p_equality: np.ndarray
    equality_sd: np.ndarray


def paired(
    differences: np.ndarray,
    margin: np.ndarray | float,
    *,
    least_sd: np.ndarray | float = 0.0,
    doubt: np.ndarray | float = 0.0,
    all_or_nothing: bool = False,
    level: float = 0.95,
) -> Paired:
    """Judge differences (..., n), one per seed, against a margin (...) in the same unit.

    With so few seeds the spread can come out too small by chance: ``least_sd`` (...) is the smallest that is believed,
    and ``doubt`` (...) the smallest when equality is claimed. all_or_nothing: whether scores may be of tasks that some
    seeds solve and others don't, so that no difference is believed beyond what :func:`luck` alone makes of those.
    Raises ``ValueError`` for fewer than two seeds.
    """
    differences = np.asarray(differences, dtype=float)
    n = differences.shape[-1]
    if n < 2:
        raise ValueError(f"a spread needs two seeds or more; got {n}")
    mean = differences.mean(-1)
    sd = np.maximum(differences.std(-1, ddof=1), least_sd)
    error, freedom = sd / math.sqrt(n), n - 1
    half = stats.t.isf((1 - level) / 2, freedom) * error
    away = np.abs(_in_errors(mean, error))
    p_difference = 2 * stats.t.sf(away, freedom)
    if all_or_nothing:
        p_difference = np.maximum(p_difference, luck(away, n))
    equality_sd = np.maximum(sd, doubt)
    error = equality_sd / math.sqrt(n)
    inside = np.minimum(_in_errors(margin + mean, error), _in_errors(margin - mean, error))
    return Paired(mean, sd, mean - half, mean + half, p_difference, stats.t.sf(inside, freedom), equality_sd)


def luck(t: np.ndarray, n: int) -> np.ndarray:
    """How likely n paired differences of scores that are all or nothing reach |t| (...), with no true difference.

    Where each seed of either variant solves a task with the same chance, all of one may solve it and none of the other:
    no spread at all, and Student's test is sure. Counted exactly, for the chance at which that is likeliest; with three
    seeds it is never below 2 / 4³ = 0.03, with five never below 0.002.
    """
    reached, chances = _luck(n)
    count = np.searchsorted(-reached, -np.asarray(t) * (1 - 1e-9), side="right")
    return np.where(count > 0, chances[np.maximum(count - 1, 0)], 0.0)


def least_luck(n: np.ndarray | int) -> Any:
    """The smallest that :func:`luck` gets with n (...) seeds: all of one variant solve a task, none of the other."""
    return 2 * 0.25**n


@lru_cache(maxsize=256)
def _luck(n: int) -> tuple[np.ndarray, np.ndarray]:
    """All |t| (k,) that such differences can have, largest first, and the chances (k,) of that much or more."""
    wins, losses = (counts[np.add(*np.indices((n + 1, n + 1))) <= n] for counts in np.indices((n + 1, n + 1)))
    decided, mean = wins + losses, (wins - losses) / n
    error = np.sqrt(np.maximum(decided / n - mean**2, 0.0) / (n - 1))
    t = np.abs(_in_errors(mean, error))
    # A difference is as likely as p (1 - p) each way, a quarter at most.
    one_way = np.linspace(0.005, 0.25, 50)[:, None]
    ways = special.gammaln(n + 1) - sum(special.gammaln(count + 1) for count in (wins, losses, n - decided))
    chances = np.exp(ways + decided * np.log(one_way) + (n - decided) * np.log(1 - 2 * one_way))
    order = np.argsort(-t, kind="stable")
    return t[order], np.minimum(np.cumsum(chances[:, order], axis=1).max(axis=0), 1.0)


def _in_errors(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """``value`` in standard errors; nothing is no error away from nothing, everything else infinitely many."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value == 0, 0.0, value / error)


def holm(p: np.ndarray) -> np.ndarray:
    """P-values (..., m) corrected for m comparisons (Holm 1979): rejecting those ≤ α errs at all with chance ≤ α."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, axis=-1, kind="stable")
    steps = np.take_along_axis(p, order, -1) * np.arange(p.shape[-1], 0, -1)
    corrected = np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0)
    result = np.empty_like(corrected)
    np.put_along_axis(result, order, corrected, -1)
    return result


def bootstrap(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval (BCa, Efron 1987) for the mean of differences (n,); the same at every call.

    With three to five seeds it is too narrow, which is why verdicts rest on :func:`paired` and this is only shown.
    """
    differences = np.asarray(differences, dtype=float)
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    found = stats.bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, confidence_level=level, method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def hedges(reference: np.ndarray, variant: np.ndarray) -> float | None:
    """Hedges' g_av of the gain from ``reference`` (n,) to ``variant`` (n,) (Lakens 2013, equations 10 and 4).

    The mean difference in units of the average spread of the two, corrected for small n; None where neither spreads.
    """
    n = len(reference)
    spread = (np.std(reference, ddof=1) + np.std(variant, ddof=1)) / 2
    if n < 3 or spread == 0:
        return None
    freedom = n - 1
    correction = math.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    return float(correction * (np.mean(variant) - np.mean(reference)) / spread)


def seeds_needed(
    mean: float,
    sd: float,
    margin: float,
    *,
    alpha_difference: float,
    alpha_equality: float,
    power: float = 0.8,
    equality_sd: float | None = None,
    all_or_nothing: bool = False,
) -> int | None:
    """The fewest seeds with which a true difference ``mean`` of spread ``sd`` is settled with chance ``power``.

    Settled is: found to be a difference at level ``alpha_difference``, or to lie within ``margin`` at
    ``alpha_equality``, which is tested with the spread ``equality_sd`` if given. all_or_nothing: as in :func:`paired`.
    Uses the noncentral t distribution; None where more than :data:`MOST_SEEDS` are needed.
    """
    if sd == 0:
        return 2
    n = np.arange(2, MOST_SEEDS + 1)
    levels = {"alpha_difference": alpha_difference, "alpha_equality": alpha_equality}
    different, equal = powers(n, mean, sd, margin, **levels, equality_sd=equality_sd, all_or_nothing=all_or_nothing)
    enough = np.flatnonzero(np.maximum(different, equal) >= power)
    return int(n[enough[0]]) if len(enough) else None


def powers(
    n: np.ndarray,
    mean: float,
    sd: float,
    margin: float,
    *,
    alpha_difference: float,
    alpha_equality: float,
    equality_sd: float | None = None,
    all_or_nothing: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The chances (...) that n (...) seeds show a difference, and that they show equality; as :func:`seeds_needed`."""
    error, freedom = sd / np.sqrt(n), n - 1
    away = np.minimum(abs(mean) / error, _FAR)
    critical = stats.t.isf(alpha_difference / 2, freedom)
    different = stats.nct.sf(critical, freedom, away)
    if all_or_nothing:
        # All seeds of one against none of the other: the strongest that so many can show.
        different = np.where(least_luck(n) <= alpha_difference, different, 0.0)
    error = (sd if equality_sd is None else equality_sd) / np.sqrt(n)
    critical = stats.t.isf(alpha_equality, freedom)
    # Owen's two one-sided tests, where both lie far enough apart to be taken one after the other.
    below = stats.nct.sf(critical, freedom, np.clip((margin - mean) / error, -_FAR, _FAR))
    above = stats.nct.sf(critical, freedom, np.clip((margin + mean) / error, -_FAR, _FAR))
    return different, below + above - 1


# Noncentralities beyond this are certain, and infinite ones have no distribution.
_FAR = 1000.0

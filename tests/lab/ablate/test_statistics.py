"""The tests behind the verdicts: known values, known error rates, and the seeds that they say it takes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lab.ablate.statistics import MOST_SEEDS, bootstrap, hedges, holm, luck, paired, powers, seeds_needed

SLEEP = (
    np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]),
    np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]),
)
FINITE = st.floats(-100, 100, allow_nan=False)


def test_students_own_example() -> None:
    """Student 1908: hours of sleep gained with two drugs; t = 4.0621, p = 0.002833, interval 0.70 to 2.46."""
    found = paired(SLEEP[1] - SLEEP[0], 1.0)
    assert found.mean == pytest.approx(1.58)
    assert found.p_difference == pytest.approx(0.002833, abs=1e-6)
    assert (found.low, found.high) == (pytest.approx(0.7001, abs=1e-4), pytest.approx(2.4599, abs=1e-4))


@given(st.lists(FINITE, min_size=3, max_size=8).filter(lambda values: np.ptp(values) > 1e-3), st.floats(0.01, 50))
def test_agrees_with_scipys_t_tests(values: list[float], margin: float) -> None:
    found = paired(np.array(values), margin)
    assert found.p_difference == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    assert found.p_equality == pytest.approx(max(above, below))


@pytest.mark.parametrize(
    ("mean", "margin", "difference", "equality"), [(0.0, 0.1, 1.0, 0.0), (0.5, 0.1, 0.0, 1.0), (0.05, 0.1, 0.0, 0.0)]
)
def test_without_any_spread(mean: float, margin: float, difference: float, equality: float) -> None:
    found = paired(np.full(4, mean), margin)
    assert (found.p_difference, found.p_equality) == (difference, equality)


def test_the_least_spread_is_believed_instead() -> None:
    found = paired(np.full(3, 0.01), 0.001, least_sd=0.01)
    assert found.sd == 0.01
    assert found.p_difference == pytest.approx(2 * stats.t.sf(3**0.5, 2))


@pytest.mark.parametrize("n", [3, 4, 5])
def test_luck_is_counted(n: int) -> None:
    """Against every outcome of n seeds of two variants that solve a task with the same chance, one by one."""
    outcomes = np.array(list(itertools.product((0.0, 1.0), repeat=2 * n)))
    gains = outcomes[:, :n] - outcomes[:, n:]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(gains.mean(1)) / (gains.std(1, ddof=1) / math.sqrt(n))
    t = np.nan_to_num(t, nan=0.0, posinf=np.inf)
    for asked in (0.45, 1.9, 3.9, 12.0):
        likeliest = max(
            (solved ** outcomes.sum(1) * (1 - solved) ** (2 * n - outcomes.sum(1)))[t >= asked].sum()
            for solved in np.linspace(0.02, 0.5, 200)
        )
        assert luck(np.array(asked), n) == pytest.approx(likeliest, abs=2e-4)
    assert luck(np.array(np.inf), n) == pytest.approx(2 / 4**n)


def test_no_difference_of_accuracies_is_surer_than_luck() -> None:
    gains = np.array([[0.8, 0.8, 0.8], [0.8, 0.1, 0.9]])
    plain, careful = (paired(gains, 0.01, least_sd=0.005, all_or_nothing=careful) for careful in (False, True))
    assert plain.p_difference[0] < 1e-4 and careful.p_difference[0] == pytest.approx(2 / 64)
    assert (careful.p_difference >= plain.p_difference).all()
    # Nor do so few seeds have the power to show it.
    levels = {"alpha_difference": 0.01, "alpha_equality": 0.05}
    different, _ = powers(np.array([3, 4]), 0.8, 0.005, 0.01, **levels, all_or_nothing=True)
    assert different.tolist() == [0.0, 1.0]


def test_equality_is_tested_with_the_spread_that_is_doubted() -> None:
    gains = np.array([0.001, -0.001, 0.0])
    sure, doubted = paired(gains, 0.01), paired(gains, 0.01, doubt=0.3)
    assert sure.p_equality < 0.01 and doubted.p_equality > 0.4 and doubted.equality_sd == 0.3
    assert sure.p_difference == doubted.p_difference and sure.low == doubted.low
    levels = {"alpha_difference": 0.05, "alpha_equality": 0.05}
    assert seeds_needed(0.0, 0.001, 0.01, **levels) == 2
    assert seeds_needed(0.0, 0.001, 0.01, **levels, equality_sd=0.3) is None


def test_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        paired(np.zeros((3, 1)), 0.1)


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([[0.5, 0.9], [0.9, 0.01]])) == pytest.approx(np.array([[1.0, 1.0], [0.9, 0.02]]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_lies_between_none_and_bonferroni(values: list[float]) -> None:
    p = np.array(values)
    corrected = holm(p)
    assert (corrected >= p).all() and (corrected <= np.minimum(p * len(p), 1) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_the_bootstrap_is_the_same_at_every_call_and_says_nothing_of_a_constant() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.5])
    low, high = bootstrap(values)
    assert (low, high) == bootstrap(values)
    assert values.min() <= low < values.mean() < high <= values.max()
    assert bootstrap(np.full(3, 0.2)) == (0.2, 0.2)


@pytest.mark.parametrize("seeds", [3, 4, 5])
def test_intervals_cover(seeds: int) -> None:
    """Student's interval holds the truth in 95 % of cases; the bootstrap's in fewer, which is why it only stands by."""
    values = np.random.default_rng(1).normal(0.0, 1.0, (20_000, seeds))
    found = paired(values, 1.0)
    assert ((found.low <= 0) & (found.high >= 0)).mean() == pytest.approx(0.95, abs=0.005)
    shown = [bootstrap(row) for row in values[:60]]
    assert np.mean([low <= 0 <= high for low, high in shown]) < 0.95


def test_hedges_by_hand() -> None:
    """Mean difference 2, spreads 1 and 3, n = 5: g_av = J(4) · 2 / 2, J(4) = Γ(2) / (√2 Γ(1.5)) = 0.7979."""
    reference = np.array([0.0, 0.0, 0.0, 1.5, -1.5])
    reference *= 1 / reference.std(ddof=1)
    variant = 2 + 3 * reference
    assert hedges(reference, variant) == pytest.approx(0.79788, abs=1e-4)
    assert hedges(np.ones(3), np.ones(3)) is None


@pytest.mark.parametrize(
    ("mean", "sd", "margin"), [(0.03, 0.01, 0.01), (0.01, 0.01, 0.005), (0.0, 0.01, 0.01), (0.004, 0.01, 0.01)]
)
def test_the_seeds_needed_are_enough_and_no_more(mean: float, sd: float, margin: float) -> None:
    """Simulated with as many seeds as are said to be needed, it is settled with chance 0.8; with fewer, it is not."""
    n = seeds_needed(mean, sd, margin, alpha_difference=0.05 / 3, alpha_equality=0.05 / 3)
    assert n is not None

    def settled(seeds: int) -> tuple[float, float]:
        found = paired(np.random.default_rng(2).normal(mean, sd, (20_000, seeds)), margin)
        return (found.p_difference <= 0.05 / 3).mean(), (found.p_equality <= 0.05 / 3).mean()

    assert max(settled(n)) >= 0.79
    assert max(settled(n - 1)) < 0.81


def power(n: int, mean: float, sd: float, margin: float, alpha: float) -> float:
    """The chance to be settled with n seeds, without any noncentral distribution.

    Given the spread that n seeds show, in units of the true one, the mean is normal; that spread, a chi variable, is
    summed over. Both one-sided tests then share it, which the noncentral t distribution has to leave out.
    """
    freedom, error, normal = n - 1, sd / math.sqrt(n), stats.norm.cdf
    shown = np.linspace(0, 8, 4001)
    weight = stats.chi.pdf(shown * math.sqrt(freedom), freedom) * math.sqrt(freedom)
    away, inside = stats.t.isf(alpha / 2, freedom) * shown, stats.t.isf(alpha, freedom) * shown
    different = normal(mean / error - away) + normal(-mean / error - away)
    equal = np.maximum(0, normal((margin - mean) / error - inside) - normal(-(margin + mean) / error + inside))
    return max(float(np.trapezoid(weight * chance, shown)) for chance in (different, equal))


@pytest.mark.parametrize("comparisons", [1, 3, 6])
@pytest.mark.parametrize(
    ("mean", "sd", "margin"),
    [(0.03, 0.01, 0.01), (-0.02, 0.01, 0.005), (0.0, 0.01, 0.01), (0.004, 0.01, 0.01), (-0.003, 0.004, 0.01)],
)
def test_the_seeds_needed_are_those_of_an_integral(mean: float, sd: float, margin: float, comparisons: int) -> None:
    alpha = 0.05 / comparisons
    told = seeds_needed(mean, sd, margin, alpha_difference=alpha, alpha_equality=alpha)
    needed = next(n for n in range(2, MOST_SEEDS) if power(n, mean, sd, margin, alpha) >= 0.8)
    assert told == needed


@pytest.mark.parametrize(("effect", "n"), [(1.0, 10), (0.8, 15), (0.5, 34), (0.3, 90), (0.2, 199), (0.19, None)])
def test_the_seeds_needed_are_those_of_every_table(effect: float, n: int | None) -> None:
    """Pairs for a paired t-test of 5 %, two-sided, and a power of 0.8, as G*Power and R's power.t.test tell them."""
    assert seeds_needed(effect, 1.0, 1e-9, alpha_difference=0.05, alpha_equality=0.05) == n


def test_seeds_needed_at_the_ends() -> None:
    levels = {"alpha_difference": 0.05, "alpha_equality": 0.05}
    assert seeds_needed(0.1, 0.0, 0.01, **levels) == 2
    assert seeds_needed(1000.0, 0.001, 0.01, **levels) == 2
    assert seeds_needed(1000.0, 0.001, 0.01, alpha_difference=1e-3, alpha_equality=1e-3) == 2
    # At the margin itself nothing is equal, and a difference far below the noise is not found.
    assert seeds_needed(0.001, 0.1, 0.001, **levels) is None

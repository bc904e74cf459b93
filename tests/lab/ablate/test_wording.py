"""Scores, gains and answers in words: one meaning of ±, no accuracy beyond 1, and doubts beside what they concern."""

from dataclasses import replace
from typing import Any

import pytest

from lab.ablate import wording
from lab.ablate.results import Results, Row
from lab.ablate.verdict import BETTER, EQUAL, PENDING, UNSETTLED, WORSE, Verdict
from tests.lab.ablate.invented import results


@pytest.fixture(scope="module")
def found() -> Results:
    return results()


def told(found: Results, words: dict[str, tuple[str, float]], edges: dict[str, str] | None = None) -> str:
    """The answer on sotu where each variant came to a word with a gain."""

    def verdict(one: Verdict) -> Verdict:
        word, gain = words[one.variant]
        return replace(one, word=word, gain=gain)

    rows = [replace(row, edge=(edges or {}).get(row.variant, "")) for row in found.rows if row.data == "sotu"]
    verdicts = [verdict(one) for one in found.verdicts if one.data == "sotu" and one.variant in words]
    return wording.answer(replace(found, rows=rows, verdicts=verdicts))


def test_the_answer_is_a_sentence(found: Results) -> None:
    words = {"prefix": (WORSE, -0.0717), "static": (BETTER, 0.203)}
    assert told(found, words) == (
        "At equal FLOPs of training, on sotu: prefix is 7.2 % **worse** than attention, static 20 % **better**."
    )


def test_equal_and_unsettled_are_worded_as_such(found: Results) -> None:
    words = {"prefix": (EQUAL, 0.002), "static": (EQUAL, -0.001), "leaky": (UNSETTLED, -0.031)}
    assert told(found, words) == (
        "At equal FLOPs of training, on sotu: prefix and static are **equal** to attention within 1 %; "
        "**not enough evidence** to tell from attention: leaky (3.1 % worse so far)."
    )
    words = {"prefix": (UNSETTLED, 0.002), "static": (UNSETTLED, 0.0), "leaky": (PENDING, 0.0)}
    assert told(found, words).endswith("attention: prefix and static (alike so far); **still to come**: leaky.")
    assert told(found, {}).endswith("on sotu: nothing yet.")


def test_an_edge_is_told_beside_the_verdict(found: Results) -> None:
    words = {"prefix": (WORSE, -0.07), "static": (BETTER, 0.2)}
    edges = {"attention": "highest", "prefix": "highest", "static": "lowest"}
    doubt = "The highest learning rate tried was the best for attention and prefix, the lowest for static: a better one"
    assert doubt in told(found, words, edges)
    assert "learning rate" not in told(found, words)


@pytest.mark.parametrize(
    ("own", "theirs", "said"),
    [
        ("", "", "better"),
        ("highest", "", "better; its learning rate at the edge"),
        ("", "lowest", "better; the reference's learning rate at the edge"),
        ("lowest", "highest", "better; both learning rates at the edge"),
    ],
)
def test_whose_learning_rate_is_at_the_edge(found: Results, own: str, theirs: str, said: str) -> None:
    rows = [
        replace(row, edge={"prefix": own, "attention": theirs}.get(row.variant, ""))
        for row in found.rows if row.data == "sotu"
    ]  # fmt: skip
    one = replace(found, rows=rows)
    assert wording.came_to(one, one.row("prefix", "sotu")) == said
    reference = wording.came_to(one, one.row("attention", "sotu"))
    assert reference == ("reference; its learning rate at the edge" if theirs else "reference")


def scored(found: Results, metric: str, *scores: float) -> Row:
    mean = sum(scores) / len(scores)
    sd = (sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)) ** 0.5
    changes: dict[str, Any] = {"metric": metric, "mean": mean, "sd": sd}
    return replace(found.rows[0], scores={str(seed): one for seed, one in enumerate(scores)}, **changes)


@pytest.mark.parametrize(
    ("metric", "scores", "said"),
    [
        ("bits_per_byte", (1.8852, 1.8866, 1.8878), "1.8865 ± 0.0013"),
        ("accuracy", (0.47, 0.50, 0.46), "0.477 ± 0.021"),
        ("accuracy", (1.0, 1.0, 1.0), "1.000 ± 0"),
        # Half of 1 is beyond it: no accuracy seems to reach more than all, or less than nothing.
        ("accuracy", (1.0, 0.998, 1.0), "0.9993 (1.0000, 0.9980, 1.0000)"),
        ("accuracy", (0.0, 0.002, 0.0), "0.0007 (0.0000, 0.0020, 0.0000)"),
        ("accuracy", (0.991, 0.981, 0.549), "0.84 (0.99, 0.98, 0.55)"),
        ("accuracy", (0.99, 0.98, 0.55, 0.5, 0.5, 0.5, 0.5), "0.65 (0.50 to 0.99)"),
        ("loss", (1.0, 3.0, 1.0), "1.67 ± 1.2"),
    ],
)
def test_scores(found: Results, metric: str, scores: tuple[float, ...], said: str) -> None:
    assert wording.score(scored(found, metric, *scores)) == said


def test_what_is_not_there_is_a_dash(found: Results) -> None:
    assert wording.score(replace(found.rows[0], mean=None, sd=None, scores={})) == "–"
    assert wording.score(replace(found.rows[0], mean=1.5, sd=None)) == "1.500"
    assert wording.gain(None) == wording.believed(None) == ""


def test_the_spread_of_the_gains_and_what_is_believed() -> None:
    one = Verdict("mqar", "aft", "softmax", "accuracy", UNSETTLED, "", sd=0.005, own_sd=0.0011, equality_sd=0.005)
    assert wording.believed(one) == "0.11 points; 0.5 believed"
    assert (
        wording.believed(replace(one, own_sd=0.02, sd=0.02, equality_sd=0.15)) == "2 points; 15 believed for equality"
    )
    assert wording.believed(replace(one, own_sd=0.02, sd=0.02, equality_sd=0.02)) == "2 points"
    # Results of before tell of no own spread.
    assert wording.believed(replace(one, own_sd=None)) == ""


@pytest.mark.parametrize(("value", "said"), [(1.013e12, "1.01 T"), (443e9, "443 G"), (544804, "545 k"), (12, "12")])
def test_large_numbers(value: float, said: str) -> None:
    assert wording.short(value) == said


def test_a_gain_within_the_margin_is_told_where_its_interval_is_clear_of_zero(found: Results) -> None:
    def equal(one: Verdict, low: float, high: float) -> Verdict:
        return replace(one, word=EQUAL, gain=(low + high) / 2, low=low, high=high)

    ends = {"prefix": (0.0049, 0.0099), "static": (-0.001, 0.004)}
    verdicts = [equal(v, *ends[v.variant]) if v.variant in ends else v for v in found.verdicts if v.data == "sotu"]
    said = next(wording.in_short(replace(found, verdicts=verdicts)))
    assert "prefix and static are **equal** to attention within 1 %, though prefix (0.74 % better) differs by" in said
    # A quarter of the margin is worth no number.
    verdicts = [equal(v, 0.0001, 0.002) if v.variant in ends else v for v in verdicts]
    assert "though" not in next(wording.in_short(replace(found, verdicts=verdicts)))

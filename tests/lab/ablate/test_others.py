"""What variants that are not the reference are to one another: judged apart, all pairs on a data set together."""

from dataclasses import replace

import pytest

from lab.ablate import others, report
from lab.ablate.results import Results
from lab.ablate.verdict import Comparison, judge
from tests.lab.ablate.invented import TASK, results


@pytest.fixture(scope="module")
def found() -> Results:
    return results()


def test_pairs_are_those_with_a_rank_that_nobody_asked_for(found: Results) -> None:
    """Neither the reference, nor what reads the future, nor what a failed control voids."""
    pairs = others.others(found)
    assert [(one.data, one.reference, one.variant) for one in pairs] == [
        ("sotu", "prefix", "static"),
        ("markov", "prefix", "static"),
    ]
    assert TASK not in others.told(found, pairs)
    assert [one.word for one in pairs] == ["worse", "worse"]


def test_a_pair_alone_is_judged_as_a_study_of_the_two_would(found: Results) -> None:
    rows = [found.row(name, "sotu") for name in ("prefix", "static")]
    theirs, ours = (tuple(row.scores.values()) for row in rows)
    [alone] = judge([Comparison("sotu", "static", "prefix", "bits_per_byte", theirs, ours)], found.study["delta"])
    assert others.others(found)[0] == alone


def test_all_pairs_on_a_data_set_are_corrected_for_and_no_others(found: Results) -> None:
    more = [replace(row, variant=f"{row.variant} again") for row in found.rows if row.data == "sotu"]
    pairs = others.others(replace(found, rows=[*found.rows, *(one for one in more if not one.reference)]))
    by_data: dict[str, list[float]] = {"sotu": [], "markov": []}
    for one in pairs:
        assert one.p is not None and one.p_corrected is not None
        by_data[one.data].append(one.p_corrected / one.p)
    # Four variants are six pairs; Holm's factors, of which ties take the largest.
    assert len(by_data["sotu"]) == 6 and max(by_data["sotu"]) == pytest.approx(6) and by_data["markov"] == [1.0]


def test_a_pair_that_lacks_a_training_waits(found: Results) -> None:
    rows = [replace(row, scores={"0": 1.0}) if row.variant == "prefix" else row for row in found.rows]
    assert others.others(replace(found, rows=rows)) == []
    assert "among themselves" not in report.markdown(replace(found, rows=rows))


def test_the_report_has_them_behind_everything_that_was_asked(found: Results) -> None:
    headings = [part.heading for part in report.parts(found)]
    assert (
        headings.index("markov") < headings.index("The others among themselves") < headings.index("What was held equal")
    )
    [table] = next(part for part in report.parts(found) if part.heading == "The others among themselves").tables
    assert list(table["is"]) == ["worse than prefix"] * 2 and table["gain (95 % interval)"][0].startswith("-")

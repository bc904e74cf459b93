"""The studies that ship: run as their files ask, answered in full, with no path of a machine, and each described."""

import json
import re
from pathlib import Path

import pytest

from lab.ablate import report
from lab.ablate.results import Results
from lab.ablate.study import Study
from lab.ablate.verdict import UNRANKED

STUDIES = Path(__file__).parents[3] / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("*.toml"))
LARGEST = 250_000  # bytes of results


def test_every_study_has_results_and_every_result_its_study() -> None:
    assert NAMES and sorted(path.name for path in (STUDIES / "results").iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_study_was_run_as_its_file_asks_and_to_its_end(name: str) -> None:
    results = Results.read(STUDIES / "results" / name)
    assert results.study == json.loads(json.dumps(Study.read(STUDIES / f"{name}.toml").to_dict()))
    assert results.complete and results.command == f"strawberry ablate studies/{name}.toml"
    assert len(results.study["seeds"]) >= 3
    for row in results.rows:
        finals = results.finals(row.variant, row.data)
        assert sorted(cell.seed for cell in finals) == results.study["seeds"]
        # Seeds that chose the learning rate are not judged by.
        tuned = {cell.seed for cell in results.cells if cell.stage == "tune"}
        assert tuned.isdisjoint(results.study["seeds"])


@pytest.mark.parametrize("name", NAMES)
def test_no_rank_for_what_reads_the_future(name: str) -> None:
    results = Results.read(STUDIES / "results" / name)
    for row in results.rows:
        verdict = results.verdict(row.variant, row.data)
        assert row.causal or (verdict is not None and verdict.word == UNRANKED)


@pytest.mark.parametrize("name", NAMES)
def test_the_report_is_of_these_results(name: str) -> None:
    folder = STUDIES / "results" / name
    results = Results.read(folder)
    assert (folder / report.MARKDOWN).read_text(encoding="utf-8") == report.markdown(results, picture=report.PICTURE)


@pytest.mark.parametrize("name", NAMES)
def test_results_are_small_and_tell_of_no_machines_folders(name: str) -> None:
    for path in (STUDIES / "results" / name).iterdir():
        text = path.read_text(encoding="utf-8")
        assert len(text.encode()) < LARGEST, path
        assert not re.search(r"(?<![\w.])/(tmp|home|root|work|Users)/", text), path


def test_the_studies_page_names_each() -> None:
    text = (STUDIES / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"{name}.toml" not in text] == []

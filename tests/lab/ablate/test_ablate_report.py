"""A study's report: whole, offline, in words first, fair to leaks and failed controls; and the sources it names."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.ablate import report, views
from lab.ablate.citations import bibtex, mechanisms, unknown
from lab.ablate.results import Results
from lab.ablate.sketch import sketch
from strawberry.data.named import MAKERS
from strawberry.mixers import MIXERS
from strawberry.presets import presets
from tests.lab.ablate.invented import TASK, VOID, results, study


@pytest.fixture(scope="module")
def found() -> Results:
    return results()


@pytest.fixture(scope="module")
def written(found: Results, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    page, text = report.write(found, tmp_path_factory.mktemp("report") / "first-look")
    return page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")


def test_the_page_is_whole_and_offline(written: tuple[str, str]) -> None:
    page, _ = written
    assert page.count("plotly.js v") == 1
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    # The verdicts, the grid, and for each data set learning, costs and rates; void scores have no costs.
    assert page.count('class="plotly-graph-div"') == 2 + 3 * 3 - 1


def test_both_forms_say_the_same(written: tuple[str, str], found: Results) -> None:
    page, text = written
    for part in report.parts(found):
        assert f"## {part.heading}\n" in text
        assert f"<h2>{part.heading}</h2>" in page
    for said in (found.question, found.command, VOID, *found.fixed, "@misc{zhai2021aft,"):
        assert said in text and said in page.replace("&#x27;", "'")
    for verdict in found.verdicts:
        assert verdict.sentence in text
    assert text.index("## The answer") < text.index("## Who can do what") < text.index("## How to run it again")


def test_a_table_in_markdown_has_as_many_bars_in_every_line(written: tuple[str, str]) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", written[1], re.M)
    assert len(tables) == 6
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_leaks_are_named_and_never_ranked(written: tuple[str, str], found: Results) -> None:
    _, text = written
    assert "**leaky reads the future: measured, and without a rank.**" in text
    assert "not ranked: reads the future" in text
    in_short = list(views.in_short(found))
    assert "**not ranked**: leaky." in in_short[0] and "**better**: prefix (+" in in_short[0]
    assert "leaky is better" not in text


def test_a_failed_control_voids_visibly(written: tuple[str, str], found: Results) -> None:
    _, text = written
    assert f"**Void.** {VOID}" in text
    assert list(views.in_short(found))[1] == f"On {TASK}, against attention: **void**: prefix, static, leaky."
    assert views.points(found, TASK) == []
    assert all(square.reason == VOID for square in views.squares(found) if square.data == TASK)


def test_an_edge_and_a_floor_are_told(written: tuple[str, str]) -> None:
    _, text = written
    assert "prefix (0.03, the highest)" in text and "0.03 (edge)" in text
    assert "get below 1.7500 nats per token" in text


def test_an_unfinished_study_says_so(tmp_path: Path, found: Results) -> None:
    nothing: dict[str, Any] = {
        "scores": {}, "mean": None, "sd": None, "seconds": None, "learning_rate": None, "edge": "", "void": "",
    }  # fmt: skip
    rows = [replace(row, **nothing) for row in found.rows]
    page, text = report.write(replace(found, complete=False, cells=[], verdicts=[], rows=rows), tmp_path)
    assert "is not complete" in text.read_text() and "is not complete" in page.read_text()
    assert not any(view.data for view in views.views(replace(found, cells=[], verdicts=[], rows=rows)))


def test_no_place_of_this_machine_is_told(written: tuple[str, str], tmp_path: Path) -> None:
    for text in written:
        assert str(tmp_path.parent.parent) not in text
    assert "Results.read(&#x27;first-look&#x27;)" in written[0]


def test_numbers_come_back_and_have_a_line_for_each_training(tmp_path: Path, found: Results) -> None:
    path = found.write(tmp_path)
    assert Results.read(path) == found
    assert sum('"seed"' in line for line in path.read_text().splitlines()) == len(found.cells) > 0


def test_figures_are_redrawn_by_name(found: Results) -> None:
    for one in views.views(found):
        again = views.view(found, one.name, data=one.data)
        assert again.figure().to_dict() == one.figure().to_dict()
        assert len(one.numbers())
    with pytest.raises(KeyError):
        views.view(found, "pie")


def test_seeds_are_drawn_as_far_as_all_have_come(found: Results) -> None:
    def cut(cell: Any) -> Any:
        short = cell.seed == 3 and cell.variant == "static"
        return replace(cell, training=cell.training[:4]) if short else cell

    part = replace(found, cells=[cut(cell) for cell in found.cells])
    trail = next(trail for trail in views.trails(part, "sotu") if trail.name == "static")
    assert list(trail.training[0]) == [5, 10, 15, 20] and trail.training[1].shape == (5, 4)


@pytest.mark.parametrize("source", [*MIXERS.values(), *MAKERS.values()], ids=lambda made: made.__name__)
def test_every_source_that_is_named_has_its_entry(source: Any) -> None:
    assert unknown(source.source) == []


@pytest.mark.parametrize("preset", [name for name in presets() if name.endswith("-nano")])
def test_every_family_has_its_entries(preset: str) -> None:
    first, second = {"preset": preset}, {"preset": "gpt-nano"}
    asked = study(variants={"a": second, "b": first}, base="gpt-nano", data=["sotu"], control={})
    made = mechanisms(asked)
    assert made and all(unknown(one.source) == [] for one in made)
    assert "@misc{vaswani2017attention," in bibtex(one.source for one in made)


def test_the_picture_of_the_verdicts_needs_no_script(found: Results, tmp_path: Path) -> None:
    _, text = report.write(found, tmp_path)
    assert "](verdicts.svg)" in text.read_text(encoding="utf-8")
    assert "](" not in report.markdown(found)
    drawn = (tmp_path / "verdicts.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(drawn)
    told = [item.text or "" for item in root.iter() if item.tag.endswith("text")]
    for words in ("sotu", TASK, "prefix", "void", "not ranked: reads the future (+"):
        assert any(words in one for one in told), words
    assert any(one.startswith("better +") for one in told)
    marks = [item.get("class") for item in root.iter() if item.tag.endswith("circle")]
    # Neither what is void nor a leak has an interval, and a leak has the colour of an alarm.
    assert marks == ["better", "equal", "leaks", "better", "equal", "leaks"]
    intervals = [item.get("class") for item in root.iter() if item.tag.endswith("line")]
    assert [kind for kind in intervals if kind != "zero"] == ["better", "equal", "better", "equal"]
    assert "prefers-color-scheme: dark" in drawn and len(drawn) < 10_000


def test_a_study_without_verdicts_has_an_empty_picture() -> None:
    assert ElementTree.fromstring(sketch([], 0.01)).get("height") == "26"


def test_entries_are_whole() -> None:
    text = (Path(views.__file__).parent / "references.bib").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}")
    keys = re.findall(r"@\w+\{(\w+),", text)
    numbers = re.findall(r"eprint = \{(\d{4}\.\d{4,5})\}", text)
    assert len(set(keys)) == len(keys) == text.count("  author = {") == text.count("  title = {")
    assert len(set(numbers)) == len(numbers) > 25

"""A study's report: whole, offline, in words first, fair to leaks and failed controls; and the sources it names."""

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.ablate import glossary, report, views, wording
from lab.ablate.citations import bibtex, mechanisms, unknown
from lab.ablate.results import Results, Routing
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
    assert page.count('class="plotly-graph-div') == 2 + 3 * 3 - 1


def test_both_forms_say_the_same(written: tuple[str, str], found: Results) -> None:
    page, text = written
    for part in report.parts(found):
        assert f"## {part.heading}\n" in text
        assert f"<h2>{part.heading}</h2>" in page
    for said in (found.question, found.command, VOID, *found.fixed, "@misc{zhai2021aft,"):
        assert said in text and said in page.replace("&#x27;", "'")
    for verdict in found.verdicts:
        assert verdict.sentence in text
    order = ["The answer", "Each comparison", "The variants", "What the names mean", "Who can do what", "sotu"]
    assert [part.heading for part in report.parts(found)][:6] == order


def test_the_answer_stands_below_the_title_and_its_figure_before_the_details(
    written: tuple[str, str], found: Results
) -> None:
    page, text = written
    answer = wording.answer(found)
    assert text.startswith(f"# {found.question}\n\n{answer}\n\n")
    assert page.index("</h1>") < page.index('<div class="answer">') < page.index("<dl>") < page.index("<figure>")
    for whole, figure in ((page, '<div class="plotly-graph-div slim"'), (text, "](verdicts.svg)")):
        assert (
            whole.index("The answer")
            < whole.index(figure)
            < whole.index(html.escape(found.verdicts[0].sentence).partition(":")[0])
        )


def test_the_verdicts_are_drawn_without_a_script(written: tuple[str, str], found: Results) -> None:
    """Their picture stands in the page, where a script replaces it; its rules reach nothing else."""
    drawn = sketch(found.verdicts, found.study["delta"])
    assert drawn in written[0]
    style = drawn.partition("<style>")[2].partition("</style>")[0]
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", style.replace("@media (prefers-color-scheme: dark) {", ""))
    assert len(rules) > 20 and all(rule.strip().startswith(".sketch ") for rule in rules)
    # The others say that they need one.
    assert written[0].count("<noscript>") == written[0].count('class="plotly-graph-div') - 1


def test_what_was_trained_is_counted_as_it_ended(found: Results) -> None:
    def ended(place: int, cell: Any) -> Any:
        return replace(cell, state={0: "stopped", 1: "stopped", 2: "diverged", 3: "waiting"}.get(place, "done"))

    cells = [ended(place, cell) for place, cell in enumerate(found.cells)]
    text = report.markdown(replace(found, cells=cells))
    told = f"{len(cells) - 1} begun, 2 of them stopped early by halving, 1 of them diverged; "
    assert f"- Trainings: {told}" in text


def test_names_and_terms_are_explained(written: tuple[str, str], found: Results) -> None:
    _, text = written
    for name in (
        "**sotu**: The State of the Union",
        f"**{TASK}**: a task: the model remembers which value",
        "**aft**: ",
    ):
        assert f"- {name}" in text
    # Four pairs are four possible answers; 4 of them in each of so many rows.
    assert "Chance level, of a guess among the possible answers: 0.25. Judged on" in text
    for name, about in (
        ("markov", "made by a known rule: a Markov chain"),
        ("pooling", "what the Retention Mechanism"),
    ):
        assert f"- **{name}**: {about}" in text
    for term in ("bits per byte", "accuracy", "loss", "reference", "gain", "state", "FLOPs", "floor", "control"):
        assert f"- **{term}**: " in text
    plain = replace(found, rows=[replace(row, floor=None) for row in found.rows], study={**found.study, "control": {}})
    assert "**floor**" not in report.markdown(plain) and "**control**" not in report.markdown(plain)


def test_what_each_variant_is_and_cost_stands_near_the_answer(found: Results) -> None:
    parts = {part.heading: part for part in report.parts(found)}
    [table] = parts["The variants"].tables
    assert list(table["variant"]) == list(found.study["variants"])
    assert table["what is set"][2].startswith("pooling = static")
    rows = [row for row in found.rows if row.variant == "static"]
    assert table["parameters"][2] == f"{min(r.parameters for r in rows):,} to {max(r.parameters for r in rows):,}"
    # Budgets are equal by FLOPs, so steps are not.
    assert "shorter trainings see less of it" in parts["The variants"].says
    alike = replace(found, rows=[replace(row, steps=200, active_parameters=row.parameters) for row in found.rows])
    part = next(part for part in report.parts(alike) if part.heading == "The variants")
    assert "Steps differ" not in part.says
    # Nothing is said of the order where batches are of different sizes.
    odd = replace(found, rows=[replace(found.rows[0], tokens=found.rows[0].tokens + 1), *found.rows[1:]])
    assert "in the same order" not in next(part for part in report.parts(odd) if part.heading == "The variants").says
    assert "active for a token" not in part.tables[0]


def test_an_effect_size_is_left_out_where_its_spread_is_not_believed(found: Results) -> None:
    def with_spreads(one: Any) -> Any:
        return replace(one, effect=2.0, sd=0.02, own_sd=0.001 if one.variant == "static" else 0.02)

    told = replace(found, verdicts=[with_spreads(one) for one in found.verdicts])
    table = next(part for part in report.parts(told) if part.heading == "sotu").tables[0].set_index("variant")
    assert (table["Hedges g"]["prefix"], table["Hedges g"]["static"]) == ("+2.0", "")
    assert table["sd of the gains"]["static"] == "0.1 %; 2 believed"


def test_what_each_learning_rate_reached_is_told(found: Results) -> None:
    def ended(cell: Any) -> Any:
        if (cell.variant, cell.data, cell.stage) != ("prefix", "sotu", "tune"):
            return cell
        ends = {0.0033: {"state": "diverged"}, 0.01: {"state": "stopped", "step": 1080, "bits_per_byte": 2.5}}
        return replace(cell, **ends.get(cell.learning_rate, {"state": "done", "bits_per_byte": 2.25}))

    part = next(p for p in report.parts(replace(found, cells=list(map(ended, found.cells)))) if p.heading == "sotu")
    line = part.tables[-1].set_index("variant").loc["prefix"]
    assert list(line) == ["diverged", "2.5 at step 1,080", "2.25"] and "scores of tuning" in part.says
    plain = [cell for cell in found.cells if cell.stage != "tune"]
    part = next(part for part in report.parts(replace(found, cells=plain)) if part.heading == "sotu")
    assert len(part.tables) == 2 and "tuning" not in part.says


def test_an_effect_beyond_ten_has_no_number(found: Results) -> None:
    told = replace(found, verdicts=[replace(one, effect=-260.0, sd=0.02, own_sd=0.02) for one in found.verdicts])
    table = next(part for part in report.parts(told) if part.heading == "sotu").tables[0]
    assert set(table["Hedges g"]) == {"", "beyond -10"}


def test_long_names_in_a_table_may_break_and_numbers_may_not(written: tuple[str, str]) -> None:
    for cell in ("th", "td"):
        assert f"<{cell}>mqar:<wbr>pairs=<wbr>4,<wbr>length=<wbr>32</{cell}>" in written[0]
    assert re.search(r">\d+,\d{3}<", written[0]) and not re.search(r"\d,<wbr>\d", written[0])


def test_how_experts_shared_the_work_is_told_where_there_are_any(found: Results) -> None:
    rows = [replace(found.rows[0], routing=Routing(16, 1.5, 0.9)), *found.rows[1:]]
    tables = {part.heading: part.tables for part in report.parts(replace(found, rows=rows))}
    spent = tables["sotu"][1]
    assert spent["dead experts"][0] == "1.5 of 16" and spent["evenness of experts"][0] == "0.90"
    assert "dead experts" not in tables["markov"][1]


def test_a_table_in_markdown_has_as_many_bars_in_every_line(written: tuple[str, str]) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", written[1], re.M)
    assert len(tables) == 14
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_leaks_are_named_and_never_ranked(written: tuple[str, str], found: Results) -> None:
    _, text = written
    assert "**leaky reads the future: measured, and without a rank.**" in text
    assert "not ranked: reads the future" in text
    in_short = list(wording.in_short(found))
    assert (
        "**not ranked**: leaky (seems 47 % better), which reads the future." in in_short[0]
        and "prefix is 2.5 % **better** than" in in_short[0]
    )
    assert "leaky is better" not in text
    # What it cannot do has no size.
    parts = {part.heading: part for part in report.parts(found)}
    table = parts["The variants"].tables[0].set_index("variant")["state, numbers per row"]
    assert table["leaky"] == "–" and table["prefix"][0].isdigit()
    assert list(parts["markov"].tables[1]["state, numbers per row"])[-1] == "–"


def test_how_much_is_the_leak_is_told_where_the_entropy_is_known(found: Results) -> None:
    """The reference is 0.13 nats above the floor, which an honest model might gain; the leak seems to gain 0.9."""
    sotu, _, markov = wording.in_short(found)
    assert "of it by the leak" not in sotu
    reference, leaky = (found.row(name, "markov").mean or 0.0 for name in ("attention", "leaky"))
    share = wording.leak_share(1.75, reference, leaky, 8 * 8 * 64)
    # Rounded down: it is a bound.
    assert 0.851 < share < 0.852 and "leaky (seems 48 % better, at least 85.1 % of it by the leak)" in markov


def test_the_share_of_a_leak_is_a_bound() -> None:
    assert wording.leak_share(1.0, 1.1, 0.1, 1_000_000) == pytest.approx(0.9, abs=1e-5)
    # Who is at the floor already has nothing honest to gain but luck, log(20) nats in all.
    assert wording.leak_share(1.0, 0.99, 0.49, 100) == pytest.approx(1 - 0.029957 / 0.5, abs=1e-5)
    # Nothing is certain of what could be honest, and there is nothing to share without a gain.
    assert wording.leak_share(1.0, 1.1, 1.05, 1000) == wording.leak_share(1.0, 1.1, 1.2, 1000) == 0.0


def test_what_all_start_from_is_told(found: Results) -> None:
    says = next(part for part in report.parts(found) if part.heading == "The variants").says
    assert says.startswith("All start from the preset strawberry-pico with d_ff = 96. ")
    assert f"On {TASK}: vocab_size = 64." in says
    assert f"On {TASK}, a step sees 8 rows of 32 tokens; chunks are of 16 tokens." in says
    alone = {**found.study, "base": {}}
    alone["variants"] = {name: {"preset": "gpt-pico", **own} for name, own in found.study["variants"].items()}
    assert glossary.base(replace(found, study=alone)).startswith("All start from the presets that they name.")


def test_a_failed_control_voids_visibly(written: tuple[str, str], found: Results) -> None:
    _, text = written
    assert f"**Void.** {VOID}" in text
    assert list(wording.in_short(found))[1].startswith(f"On {TASK}: **void**: prefix, static and leaky.")
    assert views.points(found, TASK) == []
    assert all(square.reason == VOID for square in views.squares(found) if square.data == TASK)


def test_an_edge_and_a_floor_are_told(written: tuple[str, str]) -> None:
    _, text = written
    assert "prefix (0.03, the highest)" in text and "0.03 (edge)" in text
    # Beside the verdict, in the answer and in the table.
    assert "The highest learning rate tried was the best for prefix: a better one may lie beyond." in text
    assert "| better; its learning rate at the edge |" in text
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

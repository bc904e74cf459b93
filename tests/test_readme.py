"""What the README says of mixers, tasks and sources is what their registries say, and of studies what they found."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from strawberry.data.named import MAKERS
from strawberry.mixers import MIXERS

SCRIPT = Path(__file__).parent.parent / "scripts" / "readme_tables.py"
REGISTRIES = {"mixers": (MIXERS, 6), "data": (MAKERS, 5)}
STUDIES = SCRIPT.parent.parent / "studies"


@pytest.fixture
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("readme_tables", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def empty(script: ModuleType) -> str:
    """A README with room for the tables and nothing in it."""
    parts = (f"before {name}\n" + "\nold\n".join(script.marks(name)) + "\nafter\n" for name in script.TABLES)
    return "".join(parts)


def test_the_tables_are_the_registries(script: ModuleType) -> None:
    text = script.README.read_text(encoding="utf-8")
    assert script.written(text) == text, f"a table of the README is out of date: run {script.COMMAND}"


@pytest.mark.parametrize("name", REGISTRIES)
def test_a_table_has_a_line_for_every_name_and_equal_columns(script: ModuleType, name: str) -> None:
    registry, bars = REGISTRIES[name]
    head, rule, *lines = script.TABLES[name]().splitlines()
    assert [line.split("`")[1] for line in lines] == list(registry)
    for line in (head, rule, *lines):
        assert line.replace("\\|", "").count("|") == bars


def test_every_study_has_a_line_with_its_question_and_verdicts(script: ModuleType) -> None:
    _, _, *lines = script.studies().splitlines()
    assert [line.split("]")[0].removeprefix("| [") for line in lines] == sorted(p.stem for p in STUDIES.glob("*.toml"))
    assert all(line.count("|") == 4 and "**" in line and "?" in line for line in lines)


def test_only_what_is_between_the_marks_is_rewritten(script: ModuleType, empty: str) -> None:
    new = script.written(empty)
    assert new.startswith(f"before mixers\n{script.marks('mixers')[0]}\n| `--mixer`")
    assert new.endswith(f"|\n{script.marks('studies')[1]}\nafter\n") and "\nold\n" not in new
    assert script.written(new) == new


@pytest.mark.parametrize("text", ["", "no marks", "{end} {begin}"])
def test_a_readme_without_the_marks_is_refused(script: ModuleType, text: str) -> None:
    begin, end = script.marks("mixers")
    with pytest.raises(script.MissingMarksError, match="put both back"):
        script.written(text.format(begin=begin, end=end))


def test_the_command_rewrites_an_old_table_and_finds_it_so_before(
    script: ModuleType, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script.README = tmp_path / "README.md"
    script.README.write_text(empty, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["readme_tables.py", "--check"])
    assert script.main() == 1
    assert script.COMMAND in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["readme_tables.py"])
    assert script.main() == 0
    monkeypatch.setattr("sys.argv", ["readme_tables.py", "--check"])
    assert script.main() == 0

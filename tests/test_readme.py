"""What the README says of the mixers is what the registry says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from strawberry.mixers import MIXERS

SCRIPT = Path(__file__).parent.parent / "scripts" / "mixer_table.py"


@pytest.fixture
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("mixer_table", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_mixers_is_the_registrys(script: ModuleType) -> None:
    text = script.README.read_text(encoding="utf-8")
    assert script.written(text) == text, f"the README's table of mixers is out of date: run {script.COMMAND}"


def test_it_has_a_line_for_every_mixer_and_five_columns(script: ModuleType) -> None:
    head, rule, *lines = script.table().splitlines()
    assert [line.split("`")[1] for line in lines] == list(MIXERS)
    for line in (head, rule, *lines):
        assert line.replace("\\|", "").count("|") == 6


def test_only_what_is_between_the_marks_is_rewritten(script: ModuleType) -> None:
    text = f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n"
    new = script.written(text)
    assert new.startswith(f"before\n{script.BEGIN}\n| `--mixer`")
    assert new.endswith(f"|\n{script.END}\nafter\n")
    assert script.written(new) == new


@pytest.mark.parametrize("text", ["", "no marks", "{end} {begin}"])
def test_a_readme_without_the_marks_is_refused(script: ModuleType, text: str) -> None:
    with pytest.raises(script.MissingMarksError, match="put both back"):
        script.written(text.format(begin=script.BEGIN, end=script.END))


def test_the_command_rewrites_an_old_table_and_finds_it_so_before(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script.README = tmp_path / "README.md"
    script.README.write_text(f"{script.BEGIN}\nold\n{script.END}\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["mixer_table.py", "--check"])
    assert script.main() == 1
    assert script.COMMAND in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["mixer_table.py"])
    assert script.main() == 0
    monkeypatch.setattr("sys.argv", ["mixer_table.py", "--check"])
    assert script.main() == 0

"""The house rules that a linter does not know: clean notebooks, who imports what, sizes, names, first sentences."""

import ast
import inspect
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tracked(*patterns: str) -> list[Path]:
    """The files that git knows and that are still there, by pathspec."""
    try:
        command = ["git", "ls-files", "-z", "--", *patterns]
        listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("these rules are about the files that git knows, and this is not a git clone")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).exists()]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or ".")
    return found


def test_notebooks_carry_no_outputs():
    for path in tracked("*.ipynb"):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            assert not cell.get("outputs"), f"{name(path)} cell {number} has outputs: nbstripout notebooks/*.ipynb"
            assert cell.get("execution_count") is None, f"{name(path)} cell {number} has an execution count"


def test_notebooks_open_with_a_promise_and_close_with_exercises():
    for path in tracked("notebooks/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first, last = "".join(cells[0]["source"]), "".join(cells[-1]["source"])
        assert first.startswith(f"# {path.name[:2]} · "), name(path)
        assert "At the end you will know" in first, name(path)
        assert "## Exercises" in last, name(path)


def test_the_apps_first_file_only_arranges():
    for path in tracked("app.py"):
        foreign = imports(ast.parse(path.read_text(encoding="utf-8"))) - {"streamlit"}
        assert all(module == "lab.app" or module.startswith("lab.app.") for module in foreign), foreign


def test_no_file_names_a_place_on_somebodys_machine():
    place = re.compile(r"(?<![\w.~*])/(?:work|home|root|Users)/(?!me/)\w")  # "me" is anybody
    for path in tracked():
        if path.suffix in {".png", ".npz", ".safetensors"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not place.search(line), f"{name(path)}:{number}: {line.strip()}"


@pytest.mark.parametrize("package", ["strawberry", "lab", "scripts", "benchmarks"])
def test_every_module_opens_with_a_sentence(package):
    for path in tracked(f"{package}/*.py", f"{package}/**/*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, f"{name(path)} opens without a sentence that says what it is"
        first = docstring.split("\n\n")[0]
        assert first[0].isupper() or not first[0].isalpha(), f"{name(path)}: {first}"
        assert first.endswith((".", ":")), f"{name(path)}: the first sentence does not end: {first}"


def test_no_file_holds_more_than_one_idea():
    for path in tracked("*.py"):
        if name(path).startswith(("tests/", "benchmarks/")):
            continue
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 300, f"{name(path)} has {lines} lines: it is probably more than one idea"


def test_every_module_has_found_its_name():
    for path in tracked("*.py"):
        vague = {"util", "utils", "helper", "helpers", "common", "misc"} & set(path.with_suffix("").parts)
        assert not vague, f"{name(path)}: a name that has not been found yet"


def test_annotations_are_evaluated():
    # Postponed ones hide shapes from the checks of jaxtyping, and fields from tyro.
    for path in tracked("*.py"):
        assert "__future__" not in imports(ast.parse(path.read_text(encoding="utf-8"))), name(path)


def test_the_public_surface_is_documented():
    import strawberry

    for public in strawberry.__all__:
        thing = getattr(strawberry, public)
        if inspect.isroutine(thing) or inspect.isclass(thing):
            docstring = inspect.getdoc(thing) or ""
            own = not docstring.startswith(f"{public}(")  # dataclasses and named tuples write their signature
            assert docstring and own, f"strawberry.{public} has no docstring"

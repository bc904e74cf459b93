"""Reference code is loaded as plain files that nobody else sees; where it is missing, tests skip with a reason."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracles import loading


@pytest.fixture
def berry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution whose start-up fails and whose dependency is not there."""
    package = tmp_path / "berry"
    (package / "ops").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the start-up ran')\n")
    (package / "ops" / "naive.py").write_text(
        "from thorn.kernels import jit\nfrom .numbers import two\n@jit\ndef fast(): ...\ndef four(): return two * 2\n"
    )
    (package / "ops" / "numbers.py").write_text("two = 2\n")
    (package / "ops" / "broken.py").write_text("import thorn.kernels\n")
    files = ["berry/__init__.py", "berry/ops/naive.py", "berry/ops/numbers.py", "berry/ops/broken.py"]
    metadata = tmp_path / "berry-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: berry\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    loading.load.cache_clear()
    yield tmp_path
    loading.load.cache_clear()


def test_a_file_is_loaded_without_its_package_and_leaves_no_trace(berry: Path) -> None:
    finders = list(sys.meta_path)
    assert loading.load("berry", "berry/ops/naive.py", ("thorn",)).four() == 4
    assert sys.meta_path == finders
    assert not [name for name in sys.modules if name.partition(".")[0] in ("berry", "thorn")]


@pytest.mark.parametrize(
    ("distribution", "file", "reason"),
    [
        ("cherry", "cherry/naive.py", "cherry is not installed"),
        ("berry", "berry/ops/lost.py", "has no file"),
        ("berry", "berry/ops/broken.py", "No module named 'thorn'"),
    ],
)
def test_what_is_missing_skips_with_a_reason(berry: Path, distribution: str, file: str, reason: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=reason):
        loading.load(distribution, file)

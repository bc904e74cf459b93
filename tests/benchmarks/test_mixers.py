"""The benchmark of mixers measures what it says, leaves out what would take too long, and draws what it wrote."""

import importlib
import json
import math
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.mixers.toys import RunningMean

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def mixers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module; the file that draws is found beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("mixers")


@pytest.fixture
def figure(mixers: ModuleType) -> ModuleType:
    return mixers.mixers_figure


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_power_is_the_power(mixers: ModuleType, power: float) -> None:
    # What lies below the lengths that are fitted counts for nothing.
    points = {256: 1e9, 512: 1e9} | {seq: 3e-6 * seq**power for seq in (1024, 2048, 4096, 8192)}
    assert mixers.exponent(points) == pytest.approx(power)
    assert mixers.exponent({1024: 1.0, 2048: 2.0}) is None


def test_memory_is_what_is_held_at_once(mixers: ModuleType) -> None:
    size = 4 * 2**18

    def one() -> torch.Tensor:
        return torch.zeros(2**18)

    kept = torch.zeros(2**18)
    assert mixers.cells.peak(one, "cpu") == size
    assert mixers.cells.peak(lambda: (one(), one()), "cpu") == 2 * size
    assert mixers.cells.peak(lambda: torch.stack([one() for _ in range(4)])[0], "cpu") == 8 * size

    def one_after_the_other() -> None:
        for _ in range(5):
            one()

    assert mixers.cells.peak(one_after_the_other, "cpu") == size
    assert mixers.cells.peak(lambda: kept.add_(1), "cpu") < 1000


def test_what_would_take_too_long_is_left_out_with_its_reason(mixers: ModuleType) -> None:
    bench = mixers.cells.Bench("cpu", [256, 512], limit=1e-9, budget=0.01, rounds=3)

    def cell(seq: int) -> object:
        return mixers.cells.Cell("toy", "mixer", "forward", seq, lambda: torch.zeros(4))

    first = cell(256)
    assert bench.admit(first)
    bench.take([first])
    assert len(first.samples) == 3
    assert not bench.admit(cell(512))
    assert not bench.admit(cell(1024))
    assert [(row["mixer"], row["seq"]) for row in bench.skipped] == [("toy", 512), ("toy", 1024)]
    assert "would take about" in bench.skipped[0]["why"]


@pytest.mark.slow
def test_a_quick_look_prints_tables_and_writes_only_where_it_is_told(
    mixers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(mixers.MIXERS, "toy", RunningMean)
    command = ["mixers.py", "--quick", "--max-seq", "512", "--mixers", "softmax,retention,toy,cross"]
    monkeypatch.setattr("sys.argv", [*command, "--out", str(tmp_path)])
    mixers.main()
    said = capsys.readouterr().out
    assert "left out: cross: reads a memory" in said
    for word in ("forward: time in ms", "forward+backward: memory in MiB", "decode: time in µs", "toy, naive", "sdpa"):
        assert word in said
    result = json.loads((tmp_path / "mixers.json").read_text())
    assert result["decode"]["softmax"]["state"] == {"256": 65536, "512": 131072}
    assert all(row["lowest"] <= row["seconds"] <= row["highest"] for row in result["rows"])
    peaks = {(row["mixer"], row["form"], row["mode"], row["seq"]): row["peak_bytes"] for row in result["rows"]}
    # The naive form holds at least its four maps of T × T.
    assert peaks["softmax", "naive", "forward", 512] >= 4 * 4 * 512**2
    assert peaks["softmax", "mixer", "forward", 512] < 4 * 4 * 512**2 / 4
    assert "<svg" in (tmp_path / "mixers.svg").read_text(encoding="utf-8")
    results = FOLDER / "results" / "mixers.json"
    before = results.read_bytes() if results.exists() else None
    monkeypatch.setattr("sys.argv", [*command[:-1], "toy"])
    mixers.main()
    assert (results.read_bytes() if results.exists() else None) == before


def test_labels_never_touch_and_stay_as_near_as_they_can(figure: ModuleType) -> None:
    places = [0.0, 0.1, 0.101, 0.102, 0.5, 0.98, 0.99, 1.0]
    spread = figure._apart(places, 0.04)
    gaps = [b - a for a, b in pairwise(spread)]
    assert min(gaps) >= 0.04 - 1e-9
    assert spread[0] == 0.0
    assert spread[4] == 0.5
    assert spread[2] == pytest.approx(0.101)
    assert max(spread) <= 1.0
    assert not any(math.isnan(place) for place in spread)

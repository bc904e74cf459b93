"""The ways to AFT's prefix sums agree, and the benchmark knows which of them bear what."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "aft_scan.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("aft_scan", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_ways_are_the_loop(benchmark):
    k, v = torch.randn(2, 1, 150, 2, 3, dtype=torch.float64)
    for name, way in benchmark.WAYS.items():
        assert_close(way(k, v), benchmark.steps(k, v), atol=1e-10, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("name", ["blocks", "doubling", "torch_associative_scan", "steps"])
def test_the_stable_ways_bear_any_keys(benchmark, name):
    for lowest, highest in ((-60, 100), (-2000, 2000)):
        found = benchmark.bears(benchmark.WAYS[name], lowest, highest)
        assert found["error"] < 1e-5 and found["finite_gradients"]


def test_the_others_do_not(benchmark):
    assert benchmark.bears(benchmark.cumsum, -60, 100)["error"] is None
    assert benchmark.bears(benchmark.triangles, -60, 100)["error"] is None
    assert benchmark.bears(benchmark.cumsum_in_double, -2000, 2000)["error"] is None
    assert not benchmark.bears(benchmark.logcumsumexp, -60, 100)["finite_gradients"]


def test_it_measures(benchmark):
    rows = benchmark.measure((64, 128), 1, "cpu")
    assert {row["way"] for row in rows} == set(benchmark.WAYS)
    assert all(row["forward_ms"] >= 0 and row["both_ms"] > 0 for row in rows)
    line = [{"way": "a", "length": length, "both_ms": 3 * length**1.5} for length in (256, 1024, 4096, 16384)]
    assert benchmark.exponent(line, "a", "both_ms") == pytest.approx(1.5)
    assert benchmark.exponent(line[:2], "a", "both_ms") is None

"""On tokens that nothing predicts, only a model that reads the future beats ln V."""

import importlib.util
import math
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "null_information.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("null_information", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_leaky_family_falls_below_ln_v(benchmark):
    row = benchmark.measure("strawberry-leaky", steps=220, accumulate=4, evaluations=600)
    assert row["below"]
    assert row["as_expected"]
    assert row["loss"] < math.log(4) - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("family", ["strawberry", "strawberry-static", "gpt"])
def test_a_causal_family_does_not(benchmark, family):
    row = benchmark.measure(family, steps=60, accumulate=4, evaluations=300)
    assert row["causal"]
    assert row["as_expected"]
    assert row["loss"] > math.log(4) - 4 * row["standard_error"]

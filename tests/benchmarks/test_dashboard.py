"""The dashboard's benchmark: a planted slope is found with its interval, and results that were not asked for stay."""

import importlib
import json
import sys
import time
import urllib.request
from pathlib import Path
from types import ModuleType

import numpy as np
import psutil
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module; its other files are found beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("dashboard")


@pytest.fixture
def dashboard_server(dashboard: ModuleType) -> ModuleType:
    """What starts a dashboard for the benchmarks."""
    return importlib.import_module("dashboard_server")


def wandering(generator: np.random.Generator, count: int, stay: float) -> np.ndarray:
    """Noise of size 1, each value ``stay`` times the one before and something new."""
    values, value = [], float(generator.normal())
    for _ in range(count):
        values.append(value)
        value = stay * value + np.sqrt(1 - stay**2) * float(generator.normal())
    return np.array(values)


@pytest.mark.parametrize("stay", [0.0, 0.8])
def test_the_interval_holds_the_planted_slope(dashboard: ModuleType, stay: float) -> None:
    generator, times, inside = np.random.default_rng(0), np.linspace(0, 1, 240), []
    for _ in range(200):
        found, margin = dashboard.slope(times, 400 + 3.0 * times + wandering(generator, 240, stay))
        inside.append(abs(found - 3.0) <= margin)
    # 95 % of 200, within three standard errors.
    assert 0.90 <= np.mean(inside) <= 1.0


def test_a_flat_line_has_no_slope_and_a_straight_one_no_doubt(dashboard: ModuleType) -> None:
    times = np.linspace(0, 1, 50)
    assert dashboard.slope(times, np.full(50, 300.0)) == (0.0, 0.0)
    found, margin = dashboard.slope(times, 300 + 8 * times)
    assert found == pytest.approx(8)
    assert margin == pytest.approx(0, abs=1e-6)


def test_parts_that_were_not_measured_keep_their_results(
    dashboard: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "RESULT", tmp_path / "dashboard.json")
    dashboard.keep({"first": {"warm_s": 1.0}, "tabs": {"right": 9}}, {"cores": 2})
    dashboard.keep({"tabs": {"right": 10}}, {"cores": 4})
    told = json.loads(dashboard.RESULT.read_text())
    assert told == {
        "first": {"warm_s": 1.0, "machine": {"cores": 2}}, "tabs": {"right": 10, "machine": {"cores": 4}},
    }  # fmt: skip


def test_what_is_told_of_scrubs_is_their_median_and_their_worst(dashboard: ModuleType) -> None:
    each = {"first": 100.0, "answered": 90.0, "bytes": 250_000, "task": 60.0}
    told = dashboard.brief([{**each, "sight": sight} for sight in (100.0, 200.0, 900.0)])
    assert told["redrawn_ms"] == 200
    assert told["slowest_tenth_ms"] == 760
    assert told["sent_mb"] == 0.25


ANSWERS = """
import http.server, sys
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Server).serve_forever()
"""


def test_a_server_that_answers_is_handed_out_and_ended(
    dashboard_server: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard_server, "COMMAND", [sys.executable, "-c", ANSWERS])
    with dashboard_server.server(tmp_path) as (address, process):
        with urllib.request.urlopen(address) as answer:
            assert answer.status == 200
        assert process.is_running()
    assert not psutil.pid_exists(process.pid)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("raise SystemExit(3)", "ended at once, with code 3"),
        ("import time; time.sleep(60)", "did not answer within 1 s"),
    ],
)
def test_a_server_that_never_answers_ends_the_benchmark(
    dashboard_server: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    monkeypatch.setattr(dashboard_server, "COMMAND", [sys.executable, "-c", script])
    monkeypatch.setattr(dashboard_server, "PATIENCE", 60.0 if "code" in told else 1.0)
    began = time.monotonic()
    with pytest.raises(SystemExit, match=told), dashboard_server.server(tmp_path):
        raise AssertionError("nobody answers, so nobody measures")
    assert time.monotonic() - began < 30

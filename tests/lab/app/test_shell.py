"""What surrounds the pages: the app as a whole, its settings, and errors that become one sentence."""

import logging
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lab.app import brand, words
from lab.jobs import STATES, Status

ROOT = Path(__file__).resolve().parents[3]
Draw = Callable[..., Any]


def test_the_app_opens_on_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRAWBERRY_RUNS", str(tmp_path))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not app.exception
    assert app.title[0].value == "Train a Strawberry"
    assert app.selectbox(key="run").options == []


def test_the_app_says_that_a_linked_run_is_not_there(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRAWBERRY_RUNS", str(finished))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["run"] = "gone"
    app.run()
    assert "no run called “gone”" in app.warning[0].value
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["run"] = "berry"
    app.run()
    assert not app.warning
    assert app.session_state["run"] == "berry"


def test_the_settings_keep_the_dashboard_private_and_quiet() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["server"]["maxUploadSize"] <= 50
    assert settings["server"]["fileWatcherType"] == "none"
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["client"]["showErrorDetails"] == "none"


def test_an_unexpected_error_is_one_sentence_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def script() -> None:
        from lab.app.shell import guarded

        def fail() -> None:
            raise RuntimeError("secret detail")

        guarded(fail)()

    app = AppTest.from_function(script, default_timeout=60)
    with caplog.at_level(logging.ERROR):
        app.run()
    assert not app.exception
    assert "RuntimeError" in app.error[0].value
    assert "secret" not in app.error[0].value
    assert "a page failed" in caplog.text


def test_every_state_has_a_badge() -> None:
    assert set(words.BADGES) == set(STATES)


def test_numbers_in_words() -> None:
    assert [words.count(value) for value in (1462275, 789, 45600, 2.5e12)] == ["1.46M", "789", "45.6k", "2.5T"]
    assert [words.duration(value) for value in (40, 100, 8000)] == ["40 s", "2 min", "2 h 13 min"]
    assert [words.size(value) for value in (1.24e9, 3.4e8)] == ["1.2 GB", "340 MB"]
    told = words.progress(Status("training", step=1200, steps=5000, tokens_per_s=5321.0, eta=130.0))
    assert told == "step 1,200 of 5,000 · 5.32k tokens/s · about 2 min left"


def test_the_logo_needs_no_network() -> None:
    for theme in ("light", "dark"):
        assert "http" not in brand.logo(theme).replace("http://www.w3.org/2000/svg", "")

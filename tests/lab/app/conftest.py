"""A runs folder with real, tiny runs in it, and pages that are drawn without a browser."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
import streamlit
from streamlit.testing.v1 import AppTest

import strawberry
from lab import line, notes, prepare, process
from lab.app import canvas
from lab.worker import Worker
from strawberry.config import Config

TEXT = "\n".join(f"the strawberry of line {number} is {'red' if number % 3 else 'green'}." for number in range(300))


class Page:
    """A page that was drawn without a browser; everything that `AppTest` has, and what the page says in words."""

    def __init__(self, app: AppTest) -> None:
        self.app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self.app, name)

    @property
    def said(self) -> str:
        """All that the page says in words."""
        app = self.app
        kinds = (app.title, app.subheader, app.markdown, app.caption, app.info, app.warning, app.error, app.text)
        return "\n".join(str(part.value) for kind in kinds for part in kind)

    @property
    def figures(self) -> list[str]:
        """The figures on the page, as JSON."""
        return [element.proto.spec for element in self.app.get("plotly_chart")]

    def whole(self) -> "Page":
        """The page itself, once it is certain that nothing failed in it."""
        assert not self.app.exception, self.app.exception
        assert not self.app.error, [error.value for error in self.app.error]
        return self


def tiny(family: str = "strawberry", **changes: object) -> Config:
    """A model on bytes that takes milliseconds per step."""
    fields = {
        "tokenizer": "bytes", "vocab_size": 257, "seq_len": 32, "chunk": 8, "batch_size": 2, "warmup_steps": 2,
        "d_model": 16, "d_qkv": 16, "d_ff": 16, "windows": (4, 0), "n_heads": 2, "attention_top_k": 1,
    }  # fmt: skip
    return strawberry.preset(f"{family}-pico", **fields | changes)


def trained(folder: Path, config: Config, steps: int) -> None:
    """Train a run as the worker does, in this process."""
    folder.mkdir(parents=True)
    text = folder / "text.txt"
    text.write_text(TEXT)
    asked = {"config": config.to_dict(), "data": "text.txt", "steps": steps, "text": "", "created": float(steps)}
    notes.write(folder / "job.json", asked)
    assert Worker(folder).run() == 0


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one finished run of each kind: "berry", "leaky" and "gpt"."""
    runs = tmp_path_factory.mktemp("finished")
    trained(runs / "berry", tiny(), 12)
    trained(runs / "leaky", tiny("strawberry-leaky"), 11)
    trained(runs / "gpt", tiny("gpt", n_experts=1, top_k=1), 3)
    return runs


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Page]:
    """Draw a page by name over a runs folder (an empty one by default) and an address such as ``run="berry"``."""

    def drawn(page: str, runs: Path | None = None, state: dict[str, Any] | None = None, **address: str) -> Page:
        monkeypatch.setenv("STRAWBERRY_RUNS", str(runs or tmp_path / "runs"))
        # Words instead of a closure: AppTest runs the source of a script.
        app = AppTest.from_string(
            f"from lab.app import shell, {page}\nshell.sidebar()\n{page}.page()", default_timeout=60
        )
        for name, value in (state or {}).items():
            app.session_state[name] = value
        for name, value in address.items():
            app.query_params[name] = value
        return Page(app.run())

    return drawn


@pytest.fixture(autouse=True)
def not_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No text is prepared ahead while pages are tested, and nobody looks after the line."""
    monkeypatch.setattr(prepare, "ahead", lambda: None)
    monkeypatch.setattr(line, "attend", lambda where: None)


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as Streamlit's own elements, which pages drawn without a browser can show."""

    def mount(drawing: bytes, key: str, pick: Callable[[Any], None] | None = None) -> None:
        del pick
        told = json.loads(drawing)
        streamlit.plotly_chart(go.Figure(told["figure"]), key=key, theme=None, config=told["config"])

    monkeypatch.setattr(canvas, "mount", mount)


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Workers are noted rather than started; the list of their run folders."""
    started: list[Path] = []
    monkeypatch.setattr(process, "spawn", started.append)
    return started

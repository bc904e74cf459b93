"""What the lab's tests look at: small untrained models that have read a text, and workers that only say they work."""

from pathlib import Path

import pytest

import lab
import strawberry
from lab import notes, process, status
from strawberry.data import Tokenizer
from tests.lab.stand_in import say

TEXT = "The state of the union, <b>strong</b> & free:\n\tso be it. " * 2


@pytest.fixture(scope="session")
def text() -> str:
    return TEXT


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train("bytes", [TEXT], 512)


@pytest.fixture(scope="session")
def probes(tokenizer: Tokenizer) -> dict[str, lab.Probe]:
    """A probe of the pico preset of every family, over 70 tokens: four whole chunks and a shorter one."""
    models = {family: strawberry.build(strawberry.preset(f"{family}-pico")) for family in strawberry.families()}
    return {
        family: lab.probe(model, tokenizer, TEXT, step=7, run="first", max_tokens=70)
        for family, model in models.items()
    }


@pytest.fixture(scope="session")
def probe(probes: dict[str, lab.Probe]) -> lab.Probe:
    return probes["strawberry"]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Workers are noted rather than started, and live while their status says so; the names of what began."""
    names: list[str] = []

    def spawn(folder: Path) -> None:
        names.append(folder.name)
        say(folder, "training")

    monkeypatch.setattr(process, "spawn", spawn)
    monkeypatch.setattr(process, "kill", lambda folder: None)
    monkeypatch.setattr(process, "alive", lambda folder: notes.read(folder / "status.json").get("state") in status.LIVE)
    return names

"""Small texts, a small configuration and a cache that belongs to one test."""

from pathlib import Path

import pytest

from strawberry.config import Config


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, which does not exist yet."""
    folder = tmp_path / "cache of this test"
    monkeypatch.setenv("STRAWBERRY_CACHE", str(folder))
    return folder


@pytest.fixture
def config() -> Config:
    return Config(vocab_size=300, seq_len=8, batch_size=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty documents of different lengths, each with a word of its own."""
    place = tmp_path / "texts"
    place.mkdir()
    for number in range(20):
        sentence = f"The strawberry number{number} is red, and the next one is redder.\n"
        (place / f"{number:02}.txt").write_text(sentence * (1 + number % 7), encoding="utf-8")
    return place

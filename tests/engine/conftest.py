"""A configuration and a text small enough to train on in a test."""

from pathlib import Path

import pytest

import strawberry
from strawberry.config import Config

LINES = "\n".join(f"the strawberry of line {number} is {'red' if number % 3 else 'green'}." for number in range(300))


@pytest.fixture(scope="session")
def tiny() -> Config:
    """A Strawberry on bytes that takes milliseconds per step."""
    return strawberry.preset(
        "strawberry-pico", tokenizer="bytes", vocab_size=257, seq_len=32, chunk=8, batch_size=2, warmup_steps=2,
        d_model=16, d_qkv=16, d_ff=16, windows=(4, 0), n_experts=2, n_heads=2, top_k=1, attention_top_k=1,
    )  # fmt: skip


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten kilobytes of text."""
    path = tmp_path_factory.mktemp("text") / "berries.txt"
    path.write_text(LINES, encoding="utf-8")
    return path

"""A study small enough to run in a test: a narrow model on bytes, ten kilobytes of text, a dozen steps."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.ablate.study import Study

LINES = "\n".join(f"the strawberry of line {number} is {'red' if number % 3 else 'green'}." for number in range(300))
Make = Callable[..., Study]


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten kilobytes of text."""
    path = tmp_path_factory.mktemp("text") / "berries.txt"
    path.write_text(LINES, encoding="utf-8")
    return str(path)


@pytest.fixture
def make(text_file: str) -> Make:
    """A study of two mixers that trains in seconds, with some of its fields changed."""
    base = {
        "preset": "gpt-pico", "tokenizer": "bytes", "vocab_size": 257, "seq_len": 16, "batch_size": 2, "d_model": 16,
        "d_qkv": 16, "n_heads": 2, "d_ff": 16, "n_layers": 1, "warmup_steps": 2,
    }  # fmt: skip

    def made(**changes: Any) -> Study:
        given: dict[str, Any] = {
            "name": "mixers", "question": "Does AFT lose to attention?", "base": base, "data": {text_file: {}},
            "variants": {"attention": {}, "aft": {"mixer": "aft"}}, "steps": 10, "evaluations": 2, "eval_batches": 1,
            "widen": 0,
        }  # fmt: skip
        return Study(**{**given, **changes})

    return made


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[Study], Path]:
    """Makes the folder of a study, without any worker."""

    def begin(study: Study) -> Path:
        folder = tmp_path / study.name
        folder.mkdir()
        (folder / "study.json").write_text(json.dumps(study.to_dict()))
        return folder

    return begin


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As workers do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

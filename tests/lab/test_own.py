"""The leak meter on a person's own code: it runs in another process, is found by its name, and may fail as it likes."""

from pathlib import Path

import pytest

from lab import own
from lab.causality import judge
from lab.own import judged_code, load
from strawberry.errors import StrawberryError

HEAD = "import torch\nfrom torch import nn\n"
MODEL = (
    HEAD
    + """
class Mean(nn.Module):
    def __init__(self, leak: float = {leak}):
        super().__init__()
        self.embed, self.head, self.leak = nn.Embedding(30, 8), nn.Linear(8, 30), leak

    def forward(self, tokens):
        x = self.embed(tokens)
        ones = torch.ones(x.shape[1], device=x.device, dtype=x.dtype).cumsum(0)
        return self.head(x.cumsum(1) / ones[:, None] + self.leak * x.mean({axis}, keepdim=True))
"""
)


def written(folder: Path, text: str, name: str = "mine.py") -> str:
    """A file of the person's own."""
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leak", "axis", "words"), [(0.0, 1, "is causal"), (0.5, 1, "earlier logits"), (0.5, 0, "another row")]
)
def test_a_model_of_ones_own_is_judged_in_another_process(tmp_path: Path, leak: float, axis: int, words: str) -> None:
    found = judged_code(written(tmp_path, MODEL.format(leak=leak, axis=axis)), seq_len=9)
    assert found.causal == (leak == 0)
    assert words in found.sentence
    assert found.name == "Mean"
    assert (found.map.shape, found.gradients.shape, found.rows.shape) == ((8, 9), (9, 9), (2, 9))
    assert (found.worst_gradient > 1e-6) == (leak > 0 and axis == 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def model(:", "SyntaxError"),
        ("import nothing_like_this", "nothing_like_this"),
        ("x = 1", "none of model, build"),
        ("model = 3", "must give a torch.nn.Module"),
        ("import os\nos._exit(7)", "without a verdict"),
        (HEAD + "class M(nn.Module):\n    def forward(self, tokens):\n        return tokens", "no nn.Embedding"),
        (
            HEAD + "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.e = "
            "nn.Embedding(9, 4)\n    def forward(self, tokens):\n        return self.e(tokens).mean(1)",
            "must map tokens (2, 24) to logits",
        ),
        (
            HEAD + "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.e = "
            "nn.Embedding(9, 4)\n    def forward(self, tokens):\n        x = self.e(tokens)\n        "
            "return x + torch.randn_like(x)",
            "same tokens give outputs that differ",
        ),
        (
            HEAD + "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.e = "
            "nn.Embedding(9, 4)\n    def forward(self, tokens):\n        raise ValueError('so there')",
            "failed in line 8 of mine.py: ValueError: so there",
        ),
    ],
)  # fmt: skip
def test_whatever_fails_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StrawberryError) as caught:
        judged_code(written(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_code_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "PATIENCE", 3.0)
    with pytest.raises(StrawberryError, match="within 3 s"):
        judged_code(written(tmp_path, "import time\ntime.sleep(600)"))


@pytest.mark.slow
def test_constants_of_single_precision_are_judged_in_it(tmp_path: Path) -> None:
    text = HEAD + (
        "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.e = nn.Embedding(9, 4)"
        "\n    def forward(self, tokens):\n        return self.e(tokens) @ torch.eye(4)"
    )
    found = judged_code(written(tmp_path, text), seq_len=6)
    assert found.causal
    assert "single precision" in found.sentence


def test_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = MODEL.format(leak=0, axis=1) + "\ndef other():\n    return Mean(0.25)\n\nmade = Mean(0.125)\n"
    path = written(tmp_path, text, "found_by_name.py")
    assert load(path).leak == 0
    assert load(f"{path}:other").leak == 0.25
    assert load(f"{path}:made").leak == 0.125
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("found_by_name:other").leak == 0.25
    for source, words in (
        (f"{path}:nothing", "nothing called 'nothing'"),
        (str(tmp_path / "gone.py"), "there is no file"),
        ("no.such.module:build", "no file or module 'no.such.module'"),
    ):
        with pytest.raises(StrawberryError, match=words):
            load(source)


def test_without_an_embedding_there_are_no_gradients() -> None:
    import torch
    from torch import nn

    class Table(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return nn.functional.one_hot(tokens, 7).double()

    found = judge(Table(), "Table", vocab_size=7, seq_len=5)
    assert found.causal
    assert (len(found.outputs), found.gradients.shape, found.worst_gradient) == (0, (0, 5), 0.0)

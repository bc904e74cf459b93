"""What is known of mixers and tasks comes out here too: who recalls, who cannot, and how many layers it takes."""

import pytest

import strawberry
from strawberry.events import Evaluated

SMALL = {
    "d_model": 32, "d_qkv": 32, "d_ff": 64, "n_layers": 2, "n_heads": 2, "batch_size": 64, "precision": "fp32",
}  # fmt: skip


def accuracy(data: str, steps: int, **fields) -> float:
    config = strawberry.preset("gpt-pico", **SMALL | fields)
    last = [event for event in strawberry.train(config, data, None, steps) if isinstance(event, Evaluated)][-1]
    assert last.accuracy is not None
    return last.accuracy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mixer", "low", "high"),
    [
        ("softmax", 0.97, 1.0),
        # It knows which values there are, and cannot tell whose they are: about chance, which is a half.
        ("aft", 0.4, 0.75),
    ],
)
def test_attention_recalls_and_aft_does_not(mixer: str, low: float, high: float):
    assert low <= accuracy("mqar:pairs=2,vocab=16", 150, mixer=mixer, seq_len=16, vocab_size=16) <= high


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "low", "high"), [(2, 0.97, 1.0), (1, 0.1, 0.6)])
def test_an_induction_head_takes_two_layers(layers: int, low: float, high: float):
    assert low <= accuracy("induction:asks=2", 200, n_layers=layers, seq_len=32, vocab_size=16) <= high


@pytest.mark.slow
def test_one_layer_can_learn_a_table_by_heart():
    assert accuracy("memorisation:keys=32", 100, n_layers=1, seq_len=16, vocab_size=65) == 1.0

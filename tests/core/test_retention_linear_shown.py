"""What the linear and delta forms show of their weights is what they apply, and nothing can be put in its place."""

import math

import pytest
import torch
from torch.testing import assert_close

import strawberry
from strawberry.call import Call, Rows
from strawberry.errors import TraceError
from strawberry.norm import norm
from strawberry.retention.linear import LinearRetention, LinearWeights
from strawberry.retention.mechanism import NAMES
from tests.core.linear_by_hand import FORMS, matrices_by_hand, mechanism_of, memories_by_hand, model_of


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_the_weights_shown_are_those_applied(pooling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last token of every chunk the matrix at the tap, times an input, is what the products give."""
    model, tokens = model_of(pooling, decay=0.9, loops=3), torch.randint(0, 512, (2, 20))
    unwatched = model(tokens)
    kept: list[LinearWeights] = []
    retention = model.blocks[0].retention
    assert isinstance(retention, LinearRetention)
    begin = retention.begin
    monkeypatch.setattr(retention, "begin", lambda *given: kept.append(begin(*given)) or kept[-1])
    with strawberry.Trace.of(model, "layers.0.retention.*") as trace:
        assert torch.equal(model(tokens), unwatched)
    ends = [5, 11, 17, 19]
    assert kept[0].ends.tolist() == ends
    for name, (rows, columns) in retention.shapes.items():
        current, generated = (trace[f"layers.0.retention.{side}.{name}"] for side in ("w_current", "w_transformed"))
        assert [w.shape for w in current] == [(1, 4, rows, columns)] + [(2, 4, rows, columns)] * 3
        assert [w.shape for w in generated] == [(2, 4, rows, columns)] * 4
        x = torch.randn(2, 20, columns, dtype=torch.float64)
        applied = kept[0].apply(name, x)[:, ends] * math.sqrt(columns)
        for frame in range(1, 4):
            assert_close((current[frame] @ x[:, ends, :, None])[..., 0], applied, atol=1e-10, rtol=0)
            assert_close(current[frame] - generated[frame], current[0].expand_as(generated[0]))


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_ragged_rows_show_their_own_weights(pooling: str) -> None:
    retention = mechanism_of(pooling, decay=0.9)
    h = norm(torch.randn(2, 30, 12, dtype=torch.float64))
    state = retention.begin(h[:, :4], Call(), None).state()
    # The second row brings 3 tokens and then nothing: it goes on showing its newest.
    ragged = retention.begin(h[:, 4:16], Call(rows=Rows(torch.tensor([4, 4]), torch.tensor([12, 3]))), state)
    assert ragged.ends.tolist() == [[1, 7, 11]] * 2
    alone = retention.begin(h[:, :30], Call(), None)
    for name in NAMES:
        for row, after in enumerate(([5, 11, 15], [5, 6, 6])):
            y = torch.stack(memories_by_hand(retention, h[row]))[after]
            expected = torch.stack([matrices_by_hand(retention, one)[name] for one in y]) - retention.base[name]
            assert_close(ragged.generated(name)[row], expected, atol=1e-10, rtol=0)
        assert_close(alone.generated(name)[:, 0], ragged.generated(name)[:, 0], atol=1e-10, rtol=0)
    late = retention.begin(h[:, :2], Call(rows=Rows(torch.tensor([16, 7]), torch.tensor([0, 0]))), ragged.state())
    assert_close(late.generated("out")[:, -1], ragged.generated("out")[:, -1], atol=1e-10, rtol=0)


@pytest.mark.parametrize("side", ["w_current", "w_transformed"])
@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_weights_cannot_be_transplanted(pooling: str, side: str) -> None:
    model = model_of(pooling)
    replacements = {f"layers.0.retention.{side}.out": lambda w, call: w.clone() if call else None}
    with (
        pytest.raises(TraceError, match=rf"{side}\.out cannot be replaced with pooling={pooling}"),
        strawberry.intervene(model, replacements),
    ):
        model(torch.randint(0, 512, (1, 5)))

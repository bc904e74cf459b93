"""What every mixer must keep, as checks over any registry: a new variant is tested by standing in it."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.call import Call, Rows
from strawberry.mixers import TokenMixer
from strawberry.norm import norm

HEADS, WIDTH = 4, 32
# Small, so that short texts cross every boundary there is.
SMALL = {
    "d_model": WIDTH, "d_qkv": WIDTH, "n_heads": HEADS, "window": 5, "sinks": 2, "segment": 4, "chunk": 4,
    "windows": (3, 8, 1, 0), "seq_len": 160, "n_layers": 2, "mixer": "softmax",
}  # fmt: skip
Stream = tuple[Tensor, Tensor, Tensor, Tensor]  # q, k, v, x


def made(kind: type[TokenMixer], dtype: torch.dtype = torch.float64, **changes: Any) -> TokenMixer:
    """A mixer with random parameters."""
    generator = torch.Generator().manual_seed(1)
    mixer = kind(strawberry.preset("gpt-pico", **(SMALL | changes)))
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5, generator=generator)
    return mixer.to(dtype)


def stream(seq: int, dtype: torch.dtype = torch.float64, batch: int = 2) -> Stream:
    """q and k normalised per head, as a block makes them; v; and the block's input x."""
    generator = torch.Generator().manual_seed(seq)
    q, k, v = torch.randn(3, batch, seq, HEADS, WIDTH // HEADS, generator=generator, dtype=torch.float64)
    x = torch.randn(batch, seq, WIDTH, generator=generator, dtype=torch.float64)
    return norm(q).to(dtype), norm(k).to(dtype), v.to(dtype), norm(x).to(dtype)


def part(inputs: Stream, start: int, stop: int) -> Stream:
    """Some tokens of a stream."""
    q, k, v, x = (one[:, start:stop] for one in inputs)
    return q, k, v, x


def in_pieces(mixer: TokenMixer, inputs: Stream, cuts: list[int]) -> tuple[Tensor, Any]:
    """The output piece by piece, carrying the state."""
    seq, state, outputs = inputs[0].shape[1], None, []
    for start, stop in zip([0, *cuts], [*cuts, seq], strict=True):
        if stop > start:
            y, state = mixer(*part(inputs, start, stop), state, Call(start))
            outputs.append(y)
    return torch.cat(outputs, dim=1), state


def numbers(value: Any) -> int:
    """How many numbers a state holds."""
    if isinstance(value, Tensor):
        return value.numel()
    if dataclasses.is_dataclass(value):
        return sum(numbers(getattr(value, item.name)) for item in dataclasses.fields(value))
    return sum(map(numbers, value)) if isinstance(value, tuple) else 0


class Contract:
    """Every check takes ``kind``, a mixer class; who inherits parametrises it over a registry.

    A mixer that reads a memory handed in as k and v (``cross``) has no state of its own: it is cut by its model.
    """

    @pytest.mark.parametrize("seq", [1, 3, 4, 5, 8, 9, 63, 64, 65, 130])
    @torch.no_grad()
    def test_cut_anywhere(self, kind: type[TokenMixer], seq: int) -> None:
        mixer, inputs = made(kind), stream(seq)
        whole, _ = mixer(*inputs)
        for cut in {1, 2, 3, 4, 5, 7, 8, 63, 64, 65, seq - 1} & set(range(1, seq)):
            assert_close(in_pieces(mixer, inputs, [cut])[0], whole, atol=1e-10, rtol=0)
        if seq <= 65:
            assert_close(in_pieces(mixer, inputs, list(range(1, seq)))[0], whole, atol=1e-10, rtol=0)

    @torch.no_grad()
    def test_single_precision_agrees_with_double(self, kind: type[TokenMixer]) -> None:
        exact, _ = made(kind)(*stream(130))
        rough, _ = made(kind, torch.float32)(*stream(130, torch.float32))
        assert_close(rough.double(), exact, atol=2e-5, rtol=1e-4)
        pieces, _ = in_pieces(made(kind, torch.float32), stream(130, torch.float32), [1, 17, 64, 100])
        assert_close(pieces, rough, atol=2e-5, rtol=1e-4)

    @torch.no_grad()
    def test_half_precision_is_sane(self, kind: type[TokenMixer]) -> None:
        exact, _ = made(kind)(*stream(70))
        with torch.autocast("cpu", torch.bfloat16):
            half, _ = made(kind, torch.float32)(*(one.bfloat16() for one in stream(70)))
        assert torch.isfinite(half).all()
        assert ((half.double() - exact).square().mean() / exact.square().mean()).sqrt() < 0.05

    @torch.no_grad()
    def test_causal_at_every_cut_point(self, kind: type[TokenMixer]) -> None:
        mixer, inputs = made(kind), stream(21)
        whole, _ = mixer(*inputs)
        other = stream(22)
        for cut in range(1, 21):
            changed = [
                torch.cat([mine[:, :cut], theirs[:, cut:21]], 1) for mine, theirs in zip(inputs, other, strict=True)
            ]
            assert torch.equal(mixer(*changed)[0][:, :cut], whole[:, :cut])

    def test_gradients_never_reach_back_in_time(self, kind: type[TokenMixer]) -> None:
        mixer, inputs = made(kind), [one.requires_grad_() for one in stream(12)]
        y, _ = mixer(*inputs)
        for t in range(11):
            for gradient in torch.autograd.grad(y[:, t].sum(), inputs, retain_graph=True, allow_unused=True):
                assert gradient is None or gradient[:, t + 1 :].abs().sum() == 0

    @torch.no_grad()
    def test_rows_are_strangers(self, kind: type[TokenMixer]) -> None:
        mixer, inputs = made(kind), stream(20)
        alone, _ = mixer(*(one[:1] for one in inputs))
        assert_close(mixer(*inputs)[0][:1], alone, atol=1e-12, rtol=0)

    @torch.no_grad()
    def test_ragged_rows_and_padding(self, kind: type[TokenMixer]) -> None:
        """Rows that bring different numbers of tokens, again and again, each equal to the row alone."""
        mixer, seq = made(kind), 40
        inputs = stream(seq, batch=4)
        whole, _ = mixer(*inputs)
        calls = [[3, 0, 5, 1], [1, 1, 1, 1], [4, 9, 0, 2], [0, 1, 1, 0], [7, 4, 6, 13], [1, 1, 1, 1]]
        done, state = torch.zeros(4, dtype=torch.long), None
        for lengths in calls:
            length = torch.tensor(lengths)
            places = (done[:, None] + torch.arange(max(lengths))).clamp(max=seq - 1)
            rows = torch.arange(4)[:, None]
            padded = [one[rows, places] for one in inputs]
            real = torch.arange(max(lengths)) < length[:, None]
            noise = stream(max(lengths) + 50, batch=4)
            given = [torch.where(real.view(*real.shape, *(1,) * (a.dim() - 2)), a, 9 * b[:, : max(lengths)])
                     for a, b in zip(padded, noise, strict=True)]  # fmt: skip
            y, state = mixer(*given, state, Call(rows=Rows(done, length)))
            assert torch.isfinite(y).all()
            for row in range(4):
                start, stop = int(done[row]), int(done[row]) + lengths[row]
                assert_close(y[row, : lengths[row]], whole[row, start:stop], atol=1e-10, rtol=0)
            done = done + length

    @torch.no_grad()
    def test_a_uniform_state_can_become_ragged(self, kind: type[TokenMixer]) -> None:
        mixer, inputs = made(kind), stream(30)
        whole, _ = mixer(*inputs)
        _, state = mixer(*part(inputs, 0, 11))
        y, _ = mixer(*part(inputs, 11, 17), state, Call(rows=Rows(torch.tensor([11, 11]), torch.tensor([6, 2]))))
        assert_close(y[0], whole[0, 11:17], atol=1e-10, rtol=0)
        assert_close(y[1, :2], whole[1, 11:13], atol=1e-10, rtol=0)

    @torch.no_grad()
    def test_a_state_can_be_forked(self, kind: type[TokenMixer]) -> None:
        mixer, inputs = made(kind), stream(20)
        _, state = mixer(*part(inputs, 0, 9))
        first, _ = mixer(*part(inputs, 9, 20), state, Call(9))
        mixer(*part(stream(23), 9, 20), state, Call(9))
        again, _ = mixer(*part(inputs, 9, 20), state, Call(9))
        assert torch.equal(first, again)

    @torch.no_grad()
    def test_the_state_is_as_large_as_declared(self, kind: type[TokenMixer]) -> None:
        mixer = made(kind)
        for seq in (1, 4, 5, 64, 130):
            inputs = part(stream(seq, batch=1), 0, seq)
            assert numbers(mixer(*inputs)[1]) == mixer.state_size(seq)
            assert numbers(in_pieces(mixer, inputs, [seq // 2])[1]) == mixer.state_size(seq)

    @torch.no_grad()
    def test_the_map_gives_the_output(self, kind: type[TokenMixer]) -> None:
        """map and mix reconstruct the tapped output before the gate; all maps, and chosen ones."""
        mixer, (q, k, v, x) = made(kind), stream(50)
        with strawberry.Trace.of(mixer, "*") as trace:
            mixer(q, k, v, x)
        context = trace["context"][0]
        told = {name: trace[f"told.{name}"][0] for name in mixer.signal_names}
        maps = mixer.map(q, k, told)
        assert maps.triu(1).abs().sum() == 0
        if mixer.averages:
            assert_close(maps.sum(dim=-1), torch.ones_like(maps[..., 0]))
            assert maps.min() >= 0
        assert_close(mixer.mix(maps, v), context, atol=1e-10, rtol=0)
        chosen = mixer.map(q, k, told, [3, 1])
        assert_close(chosen, maps[:, [3, 1]])
        flat = context.flatten(2) if mixer.map_axis == "channel" else context
        assert_close(mixer.mix(chosen, v, [3, 1]), flat[:, :, [3, 1]], atol=1e-10, rtol=0)

    @torch.no_grad()
    def test_watching_changes_nothing(self, kind: type[TokenMixer]) -> None:
        mixer, inputs = made(kind), stream(37)
        unwatched, _ = mixer(*inputs)
        with strawberry.Trace.of(mixer, "*"):
            watched, _ = mixer(*inputs)
        assert torch.equal(watched, unwatched)

    @pytest.mark.parametrize("seq", [1, 6])
    def test_gradcheck(self, kind: type[TokenMixer], seq: int) -> None:
        mixer = made(kind)
        inputs = [one[:1].clone().requires_grad_() for one in stream(seq)]
        parameters = list(mixer.parameters())

        def output(*values: Tensor) -> Tensor:
            q, k, v, x, *weights = values
            named = dict(zip([name for name, _ in mixer.named_parameters()], weights, strict=True))
            return torch.func.functional_call(mixer, named, (q, k, v, x))[0]

        assert torch.autograd.gradcheck(output, (*inputs, *parameters), fast_mode=True)

    def test_says_what_it_is(self, kind: type[TokenMixer]) -> None:
        assert kind.about and kind.source and kind.state
        assert made(kind).multiply_adds(64) >= 0

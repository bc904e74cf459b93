"""The attention-free transformers are their papers' equations, whatever the size of keys and biases."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.rwkv.modeling_rwkv import rwkv_linear_attention_cpu

import strawberry
from strawberry.call import Call, Rows
from strawberry.errors import StrawberryError
from strawberry.mixers.aft import AFT, AFTConv, AFTFull, AFTLocal
from strawberry.mixers.aft.scan import BLOCK, prefix_sums
from strawberry.mixers.aft.sums import bounded_sums, mean, stable_sums
from tests.mixers.contract import Contract, in_pieces, made, numbers, part, stream

FORMS: list[type[AFT]] = [AFT, AFTFull, AFTLocal, AFTConv]
BIASED = FORMS[1:]


def stable(kind: type[AFT]) -> type[AFT]:
    """The form as it is where nothing bounds the keys."""

    class Stable(kind):
        def __init__(self, config: strawberry.Config) -> None:
            super().__init__(config)
            self.bounded = False

    return Stable


def bias(mixer: AFT, t: int, s: int) -> Tensor | float:
    """w_{t,s}, straight from the parameters: one number, or (head, 1)."""
    if isinstance(mixer, AFTFull):
        return mixer.position_query[t].double() @ mixer.position_key[s].double()
    if isinstance(mixer, AFTLocal):
        return mixer.position_bias[t, t - s].double() if t - s < mixer.window else 0.0
    if isinstance(mixer, AFTConv):
        return mixer.position_bias[:, t - s, None].double() if t - s < mixer.window else 0.0
    return 0.0


@torch.no_grad()
def literal(mixer: AFT, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The double sum of arXiv 2105.14103, over s ≤ t, one term after another, in fp64."""
    q, k, v = q.double(), k.double(), v.double()
    y = torch.empty_like(v)
    for t in range(k.shape[1]):
        terms = [k[:, s] + bias(mixer, t, s) for s in range(t + 1)]
        # A factor common to both sums: without it, e^(k + w) leaves even the range of fp64.
        most = torch.stack(terms).amax(dim=0)
        numerator = denominator = torch.zeros_like(most)
        for s, term in enumerate(terms):
            numerator = numerator + (term - most).exp() * v[:, s]
            denominator = denominator + (term - most).exp()
        y[:, t] = q[:, t].sigmoid() * numerator / denominator
    return y


def relative(y: Tensor, expected: Tensor) -> float:
    return float((y.detach().double() - expected).abs().max() / expected.abs().max())


def ramp(seq: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Keys that climb from −60 to 100 along the sequence, a little differently in every channel; some values are 0."""
    q, k, v, x = stream(seq, torch.float32)
    v[:, ::7] = 0
    return q.to(dtype), (k + torch.linspace(-60, 100, seq)[:, None, None]).to(dtype), v.to(dtype), x.to(dtype)


class TestStableContract(Contract):
    """The whole contract once more, for the ways that no bound on the keys is needed for."""

    @pytest.fixture(params=[stable(kind) for kind in FORMS], ids=[kind.__name__ for kind in FORMS])
    def kind(self, request: pytest.FixtureRequest) -> type[AFT]:
        return request.param


@pytest.mark.parametrize("way", [lambda kind: kind, stable], ids=["bounded", "stable"])
@pytest.mark.parametrize("kind", FORMS)
@torch.no_grad()
def test_each_form_is_its_equation(kind, way):
    """The paper's double sum, written out; 1e-12 in fp64, through several windows and blocks."""
    mixer, inputs = made(way(kind)), stream(75)
    assert_close(mixer(*inputs)[0], literal(mixer, *inputs[:3]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("window", [1, 2, 31, 32, 33, 40, 90, 200])
@pytest.mark.parametrize("kind", [AFTLocal, AFTConv])
@torch.no_grad()
def test_windows_of_every_size(kind, window):
    """Shorter and longer than the blocks and the text, whole and in pieces."""
    mixer, inputs = made(kind, window=window), stream(101)
    expected = literal(mixer, *inputs[:3])
    assert_close(mixer(*inputs)[0], expected, atol=1e-12, rtol=0)
    pieces, state = in_pieces(mixer, inputs, [1, 35, 36, 80])
    assert_close(pieces, expected, atol=1e-12, rtol=0)
    assert numbers(state) == 2 * mixer.state_size(101) == 2 * mixer.state_size(1)


def rwkv(k: Tensor, v: Tensor) -> Tensor:
    never = torch.full(k.shape[-1:], -1e9, dtype=k.dtype)
    return rwkv_linear_attention_cpu(never, torch.zeros_like(never), k, v)[0]


def test_aft_is_rwkv4_without_decay_and_bonus():
    """transformers' rwkv_linear_attention_cpu at decay exp(−1e9) → 0 and bonus 0; 1e-6, as it keeps sums in fp32."""
    k, v = torch.randn(2, 2, 83, 3, 4, dtype=torch.float64)
    expected = rwkv(k.flatten(2), v.flatten(2)).view_as(v)
    for sums in (bounded_sums, stable_sums):
        assert_close(mean(sums(k, v).totals), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_survives_a_steep_ramp_of_keys(kind):
    """Keys from −60 to 100, random biases: fp32 within 1e-5 of fp64, and all gradients finite, at v = 0 too."""
    mixer = made(stable(kind), torch.float32)
    q, k, v, x = (one.requires_grad_() for one in ramp(150))
    y, _ = mixer(q, k, v, x)
    assert relative(y, literal(mixer, q, k, v)) < 1e-5
    for gradient in torch.autograd.grad(y.square().sum(), (q, k, v, *mixer.parameters())):
        assert gradient.isfinite().all()
    fast, _ = made(kind, torch.float32)(q, k, v, x)
    assert not fast.isfinite().all(), "the fast way is not for such keys; if it bears them, the stable one can go"


@pytest.mark.parametrize("kind", FORMS)
@torch.no_grad()
def test_a_ramp_may_be_cut(kind):
    mixer, inputs = made(stable(kind), torch.float32), ramp(150)
    pieces, _ = in_pieces(mixer, inputs, [1, 40, 41, 110])
    assert relative(pieces, mixer(*inputs)[0].double()) < 1e-5


@pytest.mark.parametrize("kind", FORMS)
def test_the_fast_way_equals_the_stable_one(kind):
    """Where QK-Norm bounds the keys, both give the same outputs and gradients; and the fast one is what is used."""
    fast, slow = made(kind), made(stable(kind))
    assert fast.bounded
    results = []
    for mixer in (fast, slow):
        inputs = [one.requires_grad_() for one in stream(140)]
        y, _ = mixer(*inputs)
        weighed = (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=y.dtype)).sum()
        results.append([y, *torch.autograd.grad(weighed, (*inputs[:3], *mixer.parameters()))])
    for mine, theirs in zip(*results, strict=True):
        assert_close(mine, theirs, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("size", [40.0, 400.0])
@pytest.mark.parametrize("kind", BIASED)
@torch.no_grad()
def test_biases_may_be_of_any_size(kind, size):
    """The fast way bounds keys, not biases: each row's largest bias is its scale."""
    mixer = made(kind, torch.float32)
    for parameter in mixer.parameters():
        parameter.mul_(size**0.5 if kind is AFTFull else size)
    inputs = stream(90, torch.float32)
    assert relative(mixer(*inputs)[0], literal(mixer, *inputs[:3])) < 1e-4


@pytest.mark.parametrize(
    "seq", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, BLOCK**2, BLOCK**2 + 1, 2500]
)
def test_sums_are_those_of_a_loop(seq):
    """Both scans against the loop that anyone would write, with keys of any size, and gradients."""
    k, v = (
        torch.randn(2, seq, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seq + i)) for i in (0, 1)
    )
    assert_close(prefix_sums(v.flatten(2)), v.flatten(2).cumsum(1), atol=1e-11, rtol=0)
    k = k * 30
    for one in (k, v):
        one.requires_grad_()
    peak, numerator, denominator = k[:, 0], v[:, 0], torch.ones_like(v[:, 0])
    means = [numerator]
    for t in range(1, seq):
        most = torch.maximum(peak, k[:, t])
        earlier, now = (peak - most).exp(), (k[:, t] - most).exp()
        numerator, denominator, peak = numerator * earlier + v[:, t] * now, denominator * earlier + now, most
        means.append(numerator / denominator)
    expected = torch.stack(means, dim=1)
    found = mean(stable_sums(k, v).totals)
    assert_close(found, expected, atol=1e-11, rtol=0)
    weights = torch.randn_like(expected)
    if seq > 1:
        mine_all = torch.autograd.grad((found * weights).sum(), (k, v))
        for mine, theirs in zip(mine_all, torch.autograd.grad((expected * weights).sum(), (k, v)), strict=True):
            assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", [AFTFull, AFTLocal])
@torch.no_grad()
def test_a_text_beyond_the_learned_positions_is_refused(kind):
    mixer, inputs = made(kind, seq_len=20), stream(21)
    with pytest.raises(StrawberryError, match="20 positions, and the text comes to 21 tokens"):
        mixer(*inputs)
    _, state = mixer(*part(inputs, 0, 20))
    with pytest.raises(StrawberryError, match="train with a larger seq_len"):
        mixer(*part(inputs, 20, 21), state, Call(20))
    # Padding may stand anywhere.
    rows = Rows(torch.tensor([18, 18]), torch.tensor([2, 0]))
    _, state = mixer(*part(inputs, 0, 18))
    assert mixer(*part(inputs, 18, 21), state, Call(rows=rows))[0].isfinite().all()


@pytest.mark.parametrize("name", ["aft-full", "aft-local"])
@torch.no_grad()
def test_a_model_says_so_too(name):
    model = strawberry.build(strawberry.preset("gpt-pico", mixer=name, seq_len=16))
    _, state = model.step(torch.zeros(1, 16, dtype=torch.long))
    with pytest.raises(StrawberryError, match="learned biases for 16 positions"):
        model.step(torch.zeros(1, 1, dtype=torch.long), state)


@pytest.mark.parametrize("kind", BIASED)
@torch.no_grad()
def test_a_map_can_be_redrawn_without_the_parameters(kind):
    mixer, (q, k, v, x) = made(kind), stream(40)
    with strawberry.Trace.of(mixer, "told.*") as trace:
        mixer(q, k, v, x)
    told = {name: trace[f"told.{name}"][0] for name in mixer.signal_names}
    stranger = made(kind)
    for parameter in stranger.parameters():
        parameter.fill_(float("nan"))
    assert_close(stranger.map(q, k, told), mixer.map(q, k, mixer.signals(x)))


@pytest.mark.parametrize("kind", BIASED)
@torch.no_grad()
def test_a_bias_can_be_reached_into(kind):
    """A replaced signal is what the output is made with: with biases of 0 every form is AFT-simple."""
    mixer, inputs = made(kind), stream(30)
    with strawberry.intervene(mixer, {"told.*": lambda value, call: value * 0}):
        y, _ = mixer(*inputs)
    assert_close(y, made(AFT)(*inputs)[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["aft-full", "aft-local", "aft-conv"])
def test_a_new_model_is_aft_with_hardly_any_bias_and_learns_one(name):
    model = strawberry.build(strawberry.preset("gpt-pico", mixer=name))
    tokens = torch.randint(0, 512, (2, 64))
    model.loss(tokens, tokens.roll(1, 1)).total.backward()
    found = 0
    for path, parameter, kind, _ in model.parameter_roles():
        if ".mixer.position_" in path:
            found += 1
            assert kind == "vector" and parameter.grad is not None and parameter.grad.abs().max() > 0
            assert parameter.abs().max() == 0 if path.endswith("bias") else parameter.std() < 0.5
    assert found


@pytest.mark.parametrize("seq", [48, 300])
@pytest.mark.parametrize("kind", FORMS)
def test_multiply_adds_are_those_counted(kind, seq):
    mixer = made(kind, seq_len=seq, batch_size=3)
    q, k, v, x = (one.repeat(3, *(1,) * (one.dim() - 1)) for one in stream(seq, batch=1))
    with FlopCounterMode(display=False) as counter:
        mixer(q, k, v, x)
    assert counter.get_total_flops() == pytest.approx(2 * mixer.multiply_adds(seq) * 3 * seq, rel=0.02)


def test_gradients_of_both_sums_are_right():
    k, v = (torch.randn(1, 2 * BLOCK + 5, 1, 2, dtype=torch.float64).requires_grad_() for _ in range(2))

    for sums in (bounded_sums, stable_sums):
        assert torch.autograd.gradcheck(lambda k, v, sums=sums: mean(sums(2 * k, v).totals), (k, v), fast_mode=True)


@pytest.mark.parametrize("way", [lambda kind: kind, stable], ids=["bounded", "stable"])
@pytest.mark.parametrize("kind", FORMS)
def test_a_compiler_reads_every_form_in_one_piece(kind, way):
    """Traced whole, with the gradients that automatic differentiation makes of the plain operations."""
    mixer, results = made(way(kind)), []
    for forward in (mixer, torch.compile(mixer, backend="eager", fullgraph=True)):
        inputs = [one.requires_grad_() for one in stream(70)]
        y, _ = forward(*inputs)
        results.append([y, *torch.autograd.grad(y.square().sum(), (*inputs[:3], *mixer.parameters()))])
    for mine, theirs in zip(*results, strict=True):
        assert_close(mine, theirs, atol=1e-11, rtol=1e-11)

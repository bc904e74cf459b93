"""Infini-attention is the equations of its paper, written out segment by segment."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import elu
from torch.testing import assert_close

import strawberry
from strawberry.call import Call
from strawberry.mixers.infini import Infini
from strawberry.mixers.softmax import sdpa
from strawberry.rope import rotate, rotation

HEADS, WIDTH, SEGMENT = 3, 8, 5


def mixer_of(segment: int = SEGMENT) -> Infini:
    mixer = Infini(strawberry.preset("gpt-pico", d_qkv=HEADS * WIDTH, n_heads=HEADS, segment=segment)).double()
    torch.nn.init.normal_(mixer.memory_bias)
    return mixer


def drawn(seq: int) -> tuple[Tensor, Tensor, Tensor]:
    """q and k before their rotation, and v: (2, seq, head, d_head)."""
    q, k, v = torch.randn(3, 2, seq, HEADS, WIDTH, dtype=torch.float64)
    return q, k, v


def turned(x: Tensor) -> Tensor:
    return rotate(x, rotation(torch.arange(x.shape[1]), WIDTH, 10000.0, x))


def mixed(mixer: Infini, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return mixer(turned(q), turned(k), v, v.flatten(2))[0]


def by_the_paper(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
    """One head of one row, (seq, d_head): equations 2 to 10 of arXiv 2404.07143 with the linear update.

    Position embeddings enter the local attention only. Before the first segment M is empty, and the paper's A_mem is
    0/0: there the output is the local attention alone.
    """
    near_q, near_k = turned(q[None, :, None])[0, :, 0], turned(k[None, :, None])[0, :, 0]
    memory, z = torch.zeros(WIDTH, WIDTH, dtype=q.dtype), torch.zeros(WIDTH, dtype=q.dtype)
    outputs = []
    for start in range(0, q.shape[0], SEGMENT):
        part = slice(start, start + SEGMENT)
        scores = near_q[part] @ near_k[part].T / math.sqrt(WIDTH)
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        a_dot = scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v[part]  # equation 2
        sigma_q, sigma_k = elu(q[part]) + 1, elu(k[part]) + 1
        if start:
            a_mem = (sigma_q @ memory) / (sigma_q @ z)[:, None]  # equation 3
            outputs.append(gate.sigmoid() * a_mem + (1 - gate.sigmoid()) * a_dot)  # equation 10
        else:
            outputs.append(a_dot)
        memory, z = memory + sigma_k.T @ v[part], z + sigma_k.sum(dim=0)  # equation 4
    return torch.cat(outputs)


@pytest.mark.parametrize("seq", [1, 4, 5, 6, 10, 23])
@torch.no_grad()
def test_it_is_the_papers_equations(seq: int) -> None:
    """Segment by segment, head by head, against the literal reference; fp64 to 1e-10."""
    mixer, (q, k, v) = mixer_of(), drawn(seq)
    y = mixed(mixer, q, k, v)
    for row in range(2):
        for head in range(HEADS):
            expected = by_the_paper(q[row, :, head], k[row, :, head], v[row, :, head], mixer.memory_bias[head])
            assert_close(y[row, :, head], expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_the_first_segment_is_plain_attention() -> None:
    """Nothing is there to recall, so the gate counts as 0 and the weights of every row sum to 1."""
    mixer, (q, k, v) = mixer_of(segment=16), drawn(16)
    assert_close(mixed(mixer, q, k, v), sdpa(turned(q), turned(k), v, None), atol=1e-10, rtol=0)
    assert_close(mixer.map(turned(q), turned(k), mixer.signals(v)).sum(dim=-1), torch.ones(2, HEADS, 16).double())


@torch.no_grad()
def test_the_memory_ignores_the_order_of_earlier_tokens() -> None:
    """Earlier segments' tokens may change places, key and value together, and later outputs stay as they are."""
    mixer, (q, k, v) = mixer_of(), drawn(15)
    order = torch.cat([torch.randperm(10), torch.arange(10, 15)])
    y, shuffled = mixed(mixer, q, k, v), mixed(mixer, q, k[:, order], v[:, order])
    assert_close(shuffled[:, 10:], y[:, 10:], atol=1e-10, rtol=0)
    assert (shuffled[:, :10] - y[:, :10]).abs().max() > 1e-2


@pytest.mark.parametrize(("bias", "ignored"), [(40.0, slice(10, 15)), (-40.0, slice(0, 10))])
@torch.no_grad()
def test_the_gate_opens_and_shuts_the_memory(bias: float, ignored: slice) -> None:
    """Open, the third segment's outputs come from earlier segments alone; shut, from their own alone."""
    mixer, (q, k, v) = mixer_of(), drawn(15)
    mixer.memory_bias.fill_(bias)
    other = v.clone()
    other[:, ignored] += 1
    assert_close(mixed(mixer, q, k, other)[:, 10:], mixed(mixer, q, k, v)[:, 10:], atol=1e-10, rtol=0)


@torch.no_grad()
def test_its_state_does_not_grow() -> None:
    mixer, (q, k, v) = mixer_of(), drawn(3 * SEGMENT)
    state = None
    for t in range(3 * SEGMENT):
        new = [x[:, t : t + 1] for x in (turned(q), turned(k), v, v.flatten(2))]
        _, state = mixer(*new, state, Call(t))
        assert state is not None and state.keys.shape[1] == SEGMENT
    assert mixer.state_size(1) == mixer.state_size(100_000)

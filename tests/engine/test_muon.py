"""Muon equals PyTorch's on single matrices, and a stack equals its matrices one by one."""

import pytest
import torch
from torch import nn

from strawberry.optim import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8), (3, 64)])
def test_equals_torch_on_matrices(shape: tuple[int, int]) -> None:
    ours, theirs = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.empty(shape))
    theirs.data.copy_(ours.data)
    mine = Muon([ours], lr=0.02, momentum=0.9, weight_decay=0.1)
    oracle = torch.optim.Muon([theirs], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        mine.step()
        oracle.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 8, 16), (4, 16, 8), (2, 3, 8, 8)])
def test_a_stack_equals_a_loop(shape: tuple[int, ...]) -> None:
    stack = torch.randn(shape)
    alone = torch.stack([orthogonalise(matrix, torch.float32) for matrix in stack.flatten(0, -3)]).view(shape)
    torch.testing.assert_close(orthogonalise(stack, torch.float32), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_one(dtype: torch.dtype) -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 24, 40), dtype).float())
    assert values.min() > 0.4
    assert values.max() < 1.6


def test_an_entry_moves_by_a_fifth_of_the_learning_rate() -> None:
    param = nn.Parameter(torch.zeros(5, 32, 64))
    optimizer = Muon([param], lr=0.01, weight_decay=0.0)
    param.grad = torch.randn_like(param) * 1e-6
    optimizer.step()
    # 0.2·lr for a square matrix; √(short/long) of the singular values are missing otherwise.
    assert param.detach().pow(2).mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.2)


def test_weight_decay_is_decoupled() -> None:
    param = nn.Parameter(torch.ones(4, 4))
    optimizer = Muon([param], lr=0.1, weight_decay=0.5)
    param.grad = torch.zeros(4, 4)
    optimizer.step()
    torch.testing.assert_close(param.detach(), torch.full((4, 4), 1 - 0.1 * 0.5))


def test_refuses_vectors() -> None:
    with pytest.raises(ValueError, match="matrices"):
        Muon([nn.Parameter(torch.zeros(3))])

"""The norm is one function, however it is called: with or without a gradient, bit for bit."""

import pytest
import torch

from strawberry.norm import EPS, norm


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 32), (1, 1, 4, 8), (3, 70, 128), (2, 5, 7)])
def test_the_same_bits_without_a_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = (10 * torch.randn(shape)).to(dtype)
    with torch.no_grad():
        quick = norm(x)
    assert torch.equal(norm(x.requires_grad_()), quick)
    expected = x / (x.double().square().mean(dim=-1, keepdim=True) + EPS).sqrt()
    torch.testing.assert_close(quick, expected.to(dtype), atol=0, rtol=0.02 if dtype == torch.bfloat16 else 1e-5)


def test_gradient() -> None:
    assert torch.autograd.gradcheck(norm, torch.randn(3, 6, dtype=torch.float64, requires_grad=True))

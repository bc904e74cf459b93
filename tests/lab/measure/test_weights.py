"""Measures of weights: known answers and properties."""

import math

import pytest
import torch

from lab.measure import weights


def orthogonal(n: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(1), dtype=torch.double))[0]


def test_rms_of_a_constant_matrix_is_its_entry():
    assert weights.rms(torch.full((3, 2, 5, 4), -2.0)).tolist() == [[2.0, 2.0]] * 3


def test_change_is_zero_from_itself_and_one_from_its_double():
    base = torch.randn(6, 4)
    assert weights.change(base, base) == 0
    assert weights.change(2 * base, base) == pytest.approx(1)


def test_cosine_ignores_scale_and_knows_opposites():
    w = torch.randn(2, 6, 4)
    assert weights.cosine(w, 3 * w).tolist() == pytest.approx([1, 1])
    assert weights.cosine(w, -w).tolist() == pytest.approx([-1, -1])
    assert weights.cosine(torch.eye(2), torch.eye(2).flip(0)) == 0


def test_spectrum_agrees_with_the_svd_for_tall_and_wide():
    w = torch.randn(3, 12, 5, dtype=torch.double)
    expected = torch.linalg.svdvals(w)
    torch.testing.assert_close(weights.spectrum(w), expected)
    torch.testing.assert_close(weights.spectrum(w.mT), expected)


def test_effective_rank_of_orthogonal_is_full_and_of_an_outer_product_is_one():
    assert weights.effective_rank(weights.spectrum(7 * orthogonal(8))) == pytest.approx(8)
    outer = torch.outer(torch.arange(1.0, 9.0), torch.arange(2.0, 7.0))
    assert weights.effective_rank(weights.spectrum(outer)) == pytest.approx(1, abs=1e-5)


def test_input_share_is_zero_for_equal_sets_and_root_two_for_unrelated_ones():
    same = torch.randn(1, 8, 8).expand(4, -1, -1)
    assert weights.input_share(same).tolist() == [0, 0, 0, 0]
    unrelated = torch.randn(2, 200, 200, generator=torch.Generator().manual_seed(0))
    share = weights.input_share(unrelated)
    assert share[0] == 0
    assert share[1] == pytest.approx(math.sqrt(2), rel=0.02)


def test_spread_is_zero_when_all_parts_agree_however_far_from_the_prior():
    sets = torch.stack([torch.zeros(4, 4), torch.ones(4, 4), torch.ones(4, 4)])
    assert weights.spread(sets)[1:].tolist() == [0, 0]
    assert weights.spread(sets)[0].isnan()
    assert weights.input_share(sets)[1:].tolist() == [1, 1]
    apart = torch.stack([torch.zeros(4, 4), torch.ones(4, 4), -torch.ones(4, 4)])
    assert weights.spread(apart)[1:].tolist() == [1, 1]


def test_measures_of_a_stack_equal_those_of_each_matrix():
    stack = torch.randn(2, 3, 9, 4)
    for measure in (weights.rms, weights.spectrum):
        torch.testing.assert_close(measure(stack)[1, 2], measure(stack[1, 2]))

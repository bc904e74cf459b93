"""Measures of maps: known answers and properties."""

import numpy as np
import pytest

from lab.measure import maps


def even(length: int) -> np.ndarray:
    rows = np.tril(np.ones((length, length)))
    return rows / rows.sum(-1, keepdims=True)


def uneven(seed: int, length: int = 8) -> np.ndarray:
    rows = np.tril(np.random.default_rng(seed).exponential(size=(length, length)))
    return rows / rows.sum(-1, keepdims=True)


def test_an_even_map_has_the_entropy_of_its_length_and_half_of_it_as_distance():
    np.testing.assert_allclose(maps.entropy(even(6)), np.log(np.arange(1, 7)))
    np.testing.assert_allclose(maps.distance(even(6)), np.arange(6) / 2)


def test_reading_only_oneself_has_no_entropy_and_no_distance():
    assert not maps.entropy(np.eye(6)).any()
    assert not maps.distance(np.eye(6)).any()
    assert maps.distance(np.eye(6, k=-1))[1:].tolist() == [1] * 5


@pytest.mark.parametrize("seed", range(5))
def test_no_row_is_more_spread_than_the_even_one(seed):
    assert (maps.entropy(uneven(seed)) <= maps.entropy(even(8)) + 1e-12).all()


def test_divergence_is_zero_for_itself_symmetric_and_at_most_ln_two():
    a, b = uneven(0), uneven(1)
    assert not maps.divergence(a, a).any()
    np.testing.assert_allclose(maps.divergence(a, b), maps.divergence(b, a))
    np.testing.assert_allclose(maps.divergence(np.eye(4)[1:], np.eye(4, k=-1)[1:]), np.log(2))


def test_measures_of_a_stack_equal_those_of_each_map():
    stack = np.stack([uneven(0), uneven(1)])
    for measure in (maps.entropy, maps.distance):
        np.testing.assert_array_equal(measure(stack)[1], measure(stack[1]))


def test_reconstruction_error():
    assert maps.reconstruction_error(np.ones(4), np.ones(4)) == (0, 0)
    assert maps.reconstruction_error([1, 1.5], [1, 1]) == (0.5, pytest.approx(0.5 / np.sqrt(2)))

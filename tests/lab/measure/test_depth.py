"""Where tokens stop: known answers."""

import numpy as np
import pytest

from lab.measure import depth


def test_the_chance_to_have_stopped_adds_up():
    np.testing.assert_allclose(depth.given_away(np.array([[0.5, 0.0], [0.5, 1.0]])), [[0.5, 0], [0.75, 1]])


def test_a_token_stops_at_the_first_pass_that_is_enough_or_after_the_last():
    taken, reached = depth.exits(np.array([[0.9, 0.1, 0.1], [0.1, 0.5, 0.1], [0.9, 0.9, 0.4]]), 0.5)
    assert taken.tolist() == [1, 2, 3]
    assert reached.tolist() == [True, True, False]


def test_correlation_needs_something_that_varies():
    assert depth.correlation(np.array([1, 2, 3, 9]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1)
    assert np.isnan(depth.correlation(np.array([2, 2, 2]), np.array([2.0, 4.0, 6.0])))
    assert np.isnan(depth.correlation(np.array([2]), np.array([2.0])))

"""Maps and their measures: known answers and properties."""

import numpy as np
import pytest
import torch

from lab.measure import maps


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_equal_scores_read_evenly_within_the_window():
    even = maps.softmax_map(np.zeros((5, 3)), np.ones((5, 3)))
    assert even[3].tolist() == [0.25, 0.25, 0.25, 0.25, 0]
    local = maps.softmax_map(np.zeros((5, 3)), np.ones((5, 3)), window=2)
    assert local[3].tolist() == [0, 0, 0.5, 0.5, 0]
    assert local[0, 0] == 1


def test_softmax_map_agrees_with_torch(rng):
    q, k, v = (rng.normal(size=(9, 4)) for _ in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(torch.from_numpy(part)[None] for part in (q, k, v)), is_causal=True
    )
    np.testing.assert_allclose(maps.softmax_map(q, k) @ v, expected[0].numpy(), atol=1e-12)


def test_aft_map_is_one_score_vector_renormalised_over_prefixes(rng):
    k = rng.normal(size=(7, 1))
    score = np.exp(k[:, 0])
    implied = maps.aft_map(k)
    for t in range(7):
        np.testing.assert_allclose(implied[t, : t + 1], score[: t + 1] / score[: t + 1].sum())
        assert not implied[t, t + 1 :].any()


def test_aft_map_of_channels_is_their_mean(rng):
    k = rng.normal(size=(6, 5))
    each = np.mean([maps.aft_map(k[:, [channel]]) for channel in range(5)], axis=0)
    np.testing.assert_allclose(maps.aft_map(k), each)


@pytest.mark.parametrize("ramp", [(-60, 100), (100, -60), (-3000, 3000)])
def test_aft_map_stays_finite_for_extreme_keys(ramp):
    assert np.isfinite(maps.aft_map(np.linspace(*ramp, 50)[:, None])).all()


def test_rows_sum_to_one_and_the_future_is_empty(rng):
    q, k = rng.normal(size=(2, 8, 4))
    for weights in (maps.softmax_map(q, k), maps.softmax_map(q, k, 3), maps.aft_map(k)):
        np.testing.assert_allclose(weights.sum(-1), 1)
        assert not np.triu(weights, 1).any()


def test_entropy_and_distance_of_even_and_of_self():
    even = maps.softmax_map(np.zeros((6, 2)), np.zeros((6, 2)))
    np.testing.assert_allclose(maps.entropy(even), np.log(np.arange(1, 7)))
    np.testing.assert_allclose(maps.distance(even), np.arange(6) / 2)
    assert not maps.entropy(np.eye(6)).any()
    assert not maps.distance(np.eye(6)).any()
    assert maps.distance(np.eye(6, k=-1))[1:].tolist() == [1] * 5


def test_divergence_is_zero_for_itself_symmetric_and_ln_two_apart(rng):
    a, b = (maps.softmax_map(*rng.normal(size=(2, 8, 4))) for _ in range(2))
    assert not maps.divergence(a, a).any()
    np.testing.assert_allclose(maps.divergence(a, b), maps.divergence(b, a))
    apart = maps.divergence(np.eye(4)[1:], np.eye(4, k=-1)[1:])
    np.testing.assert_allclose(apart, np.log(2))


def test_reconstruction_error():
    assert maps.reconstruction_error(np.ones(4), np.ones(4)) == (0, 0)
    assert maps.reconstruction_error([1, 1.5], [1, 1]) == (0.5, pytest.approx(0.5 / np.sqrt(2)))

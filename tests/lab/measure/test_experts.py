"""Measures of routing: known answers and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.measure import experts


def gates_of(choices: list[list[int]], n_experts: int) -> np.ndarray:
    gates = np.zeros((len(choices), n_experts))
    for token, chosen in enumerate(choices):
        gates[token, chosen] = 1 / len(chosen)
    return gates


def test_known_routing():
    gates = gates_of([[0, 1], [0, 1], [0, 2], [0, 1]], 4)
    assert experts.load(gates).tolist() == [0.5, 0.375, 0.125, 0]
    assert experts.weight(gates).tolist() == [0.5, 0.375, 0.125, 0]
    assert experts.dead(gates) == [3]
    together = experts.co_routing(gates)
    assert together[0, 1] == 0.75
    assert together[1, 2] == 0
    assert np.diag(together).tolist() == [1, 0.75, 0.25, 0]


def test_entropy_is_one_when_even_and_zero_when_one_takes_all():
    assert experts.entropy(np.full(8, 1 / 8)) == pytest.approx(1)
    assert experts.entropy([1, 0, 0]) == 0
    assert experts.entropy([1]) == 0


def test_flips_count_tokens_whose_set_changed_not_their_gate():
    before = gates_of([[0, 1], [0, 1], [2, 3], [1, 2]], 4)
    after = gates_of([[1, 0], [0, 2], [2, 3], [0, 3]], 4)
    after[0] = [0.9, 0.1, 0, 0]
    assert experts.flips(before, after) == 0.5
    assert experts.flips(before, before) == 0


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(st.floats(0, 1), min_size=n, max_size=n), min_size=1)))
def test_shares_sum_to_one_and_entropy_is_bounded(rows):
    gates = np.asarray(rows)
    total = experts.load(gates).sum()
    assert total == pytest.approx(1) or not (gates > 0).any()
    assert -1e-9 <= experts.entropy(experts.load(gates)) <= 1 + 1e-9
    together = experts.co_routing(gates)
    assert np.array_equal(together, together.T)


def test_regulars_are_those_that_lean_to_an_expert_most():
    pieces = ["the", "cat", "the", "dog", "the", "owl"]
    gates = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.9, 0.1, 0], [0.2, 0.8, 0], [0.9, 0.1, 0], [0.5, 0.5, 0]])
    first, second, third = experts.regulars(gates, pieces)
    assert first == [("the", 3)]
    assert second == [("cat", 1), ("dog", 1), ("owl", 1)]
    assert third == []
    assert experts.regulars(gates, pieces, most=1)[1] == [("cat", 1)]
    assert experts.regulars(np.full((6, 2), 0.5), pieces) == [[], []]

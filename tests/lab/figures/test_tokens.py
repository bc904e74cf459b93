"""Token labels and pooling: properties."""

from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.figures import tokens


@given(st.lists(st.text(max_size=30), min_size=1, max_size=40), st.integers(1, 5))
def test_labels_are_distinct_short_and_without_markup(pieces, stride):
    labels = tokens.names(pieces, stride=stride)
    assert len(labels) == len(set(labels)) == -(-len(pieces) // stride)
    assert not any(mark in label for label in labels for mark in "<>")
    axis = tokens.ticks(pieces, stride, most=8)
    assert len(axis["tickvals"]) == len(axis["ticktext"]) <= 8
    assert max(axis["tickvals"]) < len(labels)
    assert all(len(unescape(text)) <= tokens.SHORT for text in axis["ticktext"])


def test_escaped_shows_what_cannot_be_seen():
    assert tokens.escaped(" the\n") == "␣the⏎"
    assert tokens.escaped("") == "∅"
    assert tokens.escaped("<b>&") == "&lt;b&gt;&amp;"
    assert len(tokens.escaped("x" * 50)) == 16


@given(st.integers(2, 70), st.integers(1, 20))
def test_pooled_rows_keep_their_sum_and_the_future_its_blank(length, most):
    rows = np.tril(np.random.default_rng(0).exponential(size=(length, length)))
    rows /= rows.sum(-1, keepdims=True)
    small, stride = tokens.pool(rows, most)
    assert len(small) <= most
    assert len(small) == -(-length // stride)
    np.testing.assert_allclose(small.sum(-1), 1)
    assert not np.triu(small, 1).any()


def test_part():
    assert tokens.part(10, None) == (0, 10)
    assert tokens.part(10, (2, 5)) == (2, 5)
    for wrong in ((5, 2), (-1, 4), (0, 11)):
        with pytest.raises(tokens.FigureError):
            tokens.part(10, wrong)

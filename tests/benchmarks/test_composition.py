"""A task of known difficulty: following the pairs of its text by hand finds each answer, as far away as stated."""

import torch

from benchmarks import composition


def test_each_answer_is_the_root_and_as_far_away_as_stated() -> None:
    tokens, answers, depths = composition.draw(8, 6, torch.Generator().manual_seed(0))
    for row, right, far in zip(tokens.tolist(), answers.tolist(), depths.tolist(), strict=True):
        table = row[: 3 * composition.SYMBOLS]
        parent = dict(zip(table[::3], table[1::3], strict=True))
        assert sorted(parent) == list(range(composition.SYMBOLS))
        assert sum(child == above for child, above in parent.items()) == composition.CHAINS
        queries = row[3 * composition.SYMBOLS :]
        assert set(queries[::2]) == {composition.QUESTION}
        for start, answer, depth in zip(queries[1::2], right, far, strict=True):
            at, steps = start, 0
            while parent[at] != at:
                at, steps = parent[at], steps + 1
            assert (at, steps) == (answer, depth)


def test_the_last_query_is_as_far_as_asked_and_read_where_it_ends() -> None:
    tokens, _, depths = composition.draw(4, 6, torch.Generator().manual_seed(1), depth=5)
    assert (depths[:, -1] == 5).all()
    assert torch.arange(tokens.shape[1])[composition.ASKED].tolist()[-1] == tokens.shape[1] - 1
    assert tokens[:, composition.ASKED].shape == depths.shape

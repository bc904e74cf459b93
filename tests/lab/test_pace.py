"""When to look: within the budget, at once at the start, and never more pictures than are kept."""

from itertools import pairwise
from pathlib import Path

import pytest

from lab import recorded
from lab.pace import Pace, thin


@pytest.mark.parametrize("cost", [0.01, 0.2, 2.0])
def test_looking_keeps_within_its_share(cost: float) -> None:
    pace, now, spent = Pace(share=0.03), 100.0, 0.0
    assert pace.due(now)
    looks = []
    while now < 1000.0:
        if pace.due(now):
            looks.append(now)
            now += cost
            spent += cost
            pace.spent(cost, now)
        now += 0.1
    assert spent / 900.0 <= 0.03 + cost / 900.0
    gaps = [later - sooner for sooner, later in pairwise(looks)]
    assert min(gaps) >= 3.0
    if cost <= 0.2:
        assert max(gaps) <= 21.0


def test_thinning_keeps_both_ends_and_an_even_spread(tmp_path: Path) -> None:
    (tmp_path / "probes").mkdir()
    for step in range(0, 1000, 10):
        recorded.probe_path(tmp_path, step).touch()
        thin(tmp_path, keep=20)
    left = recorded.probes(tmp_path)
    assert len(left) == 20
    assert (left[0], left[-1]) == (0, 990)
    assert max(later - sooner for sooner, later in pairwise(left)) <= 200

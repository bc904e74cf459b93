"""How often to look: probes are spaced so that looking takes a small, fixed share of the training's time."""

from pathlib import Path

from lab import recorded

# Share of the wall time that looking may take.
SHARE = 0.02
# Probes kept per run; older ones are thinned.
KEEP = 60


class Pace:
    """Says when the next probe is due, from what the last one cost; times are seconds on one clock.

    The first is due at once. Then the gap is at least ``shortest``, grows with the run's age (weights change fastest
    at the start), is never longer than ``longest`` on that account, and always keeps the cost below ``share``.
    """

    def __init__(self, share: float = SHARE, shortest: float = 3.0, longest: float = 20.0) -> None:
        self.share, self.shortest, self.longest = share, shortest, longest
        self._began: float | None = None
        self._last: float | None = None
        self._cost = 0.0

    def due(self, now: float) -> bool:
        """Whether it is time to look again."""
        if self._last is None or self._began is None:
            return True
        gap = min(max(0.15 * (now - self._began), self.shortest), self.longest)
        return now - self._last >= max(gap, self._cost / self.share)

    def spent(self, cost: float, now: float) -> None:
        """Note a probe that took ``cost`` seconds and ended ``now``."""
        self._began = now if self._began is None else self._began
        self._last, self._cost = now, cost


def thin(folder: Path, keep: int = KEEP) -> None:
    """Remove probes until ``keep`` are left: each time the one whose neighbours are nearest; the ends stay."""
    steps = recorded.probes(folder)
    while len(steps) > max(keep, 2):
        # On a square-root scale, since weights change fastest at the start.
        gaps = [after**0.5 - before**0.5 for before, after in zip(steps, steps[2:], strict=False)]
        recorded.probe_path(folder, steps.pop(1 + gaps.index(min(gaps)))).unlink(missing_ok=True)

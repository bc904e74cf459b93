"""The symbols of tasks that have tokens said again: a blank, a mark from which on they are said, and the tokens."""

from strawberry.data.tasks.task import Task


# No dataclass: each task lists ``vocab`` at its own place, and that order stands in the fingerprint of its rows.
class Repetition(Task):
    """A task whose symbols, ``vocab`` in all, are the blank 0, the mark 1 and ordinary tokens from 2 on."""

    vocab: int

    @property
    def chance(self) -> float:
        """One of the ordinary tokens."""
        return 1 / (self.vocab - 2)

    def words(self) -> list[str]:
        """A blank, the mark, then t1, t2, …."""
        return ["_", "=", *(f"t{number}" for number in range(1, self.vocab - 1))]

"""The Retention Mechanism: weights that a model makes for itself from what it reads."""

from strawberry.config import Config
from strawberry.retention.mechanism import Retention


def mechanism(config: Config) -> Retention | None:
    """The mechanism that ``config`` asks for; None where weights are not made by one."""
    return Retention(config) if config.weights == "retention" else None

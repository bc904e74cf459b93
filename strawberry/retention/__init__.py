"""The Retention Mechanism: weights that a model makes for itself from what it reads."""

from strawberry.config import Config
from strawberry.retention.linear import LinearRetention
from strawberry.retention.mechanism import Retention


def mechanism(config: Config) -> Retention | LinearRetention | None:
    """The mechanism that ``config`` asks for; None where weights are not made by one."""
    if config.weights != "retention":
        return None
    return LinearRetention(config) if config.pooling in ("linear", "delta") else Retention(config)

"""Strawberry: language models whose projection weights are made from what they read; the core implements and trains."""

from strawberry.config import Config
from strawberry.cost import Estimate, estimate
from strawberry.errors import ConfigError, StrawberryError
from strawberry.model import Losses, State, Strawberry, build
from strawberry.presets import families, preset, presets
from strawberry.tap import Tap, Trace, intervene

__all__ = [
    "Config", "ConfigError", "Estimate", "Losses", "State", "Strawberry", "StrawberryError", "Tap", "Trace",
    "build", "estimate", "families", "intervene", "preset", "presets",
]  # fmt: skip

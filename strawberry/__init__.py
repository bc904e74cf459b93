"""Strawberry: language models whose projection weights are made from what they read; the core implements and trains."""

import os

# Read once, when torch is loaded: a waiting thread sleeps instead of spinning. Where other programs share the cores,
# and a browser always does, spinning makes training ten times slower and more.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from strawberry.config import Config
from strawberry.cost import Estimate, estimate
from strawberry.data import Text
from strawberry.errors import ConfigError, StrawberryError
from strawberry.generate import generate
from strawberry.model import Losses, State, Strawberry, build
from strawberry.presets import families, preset, presets
from strawberry.runs import Run, open_run
from strawberry.tap import Tap, Trace, intervene
from strawberry.train import Trainer, train

__all__ = [
    "Config", "ConfigError", "Estimate", "Losses", "Run", "State", "Strawberry", "StrawberryError", "Tap", "Text",
    "Trace", "Trainer", "build", "estimate", "families", "generate", "intervene", "open_run", "preset", "presets",
    "train",
]  # fmt: skip

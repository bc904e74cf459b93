"""Reach into a model while it reads, through its taps, and see at once what that does.

>>> effect(run.model(), run.tokenizer, "The state of the union", [Transplant("zero", layer=0, projection="qkv")])
"""

from lab.interventions.describe import (
    ForceExpert,
    Intervention,
    InterventionError,
    Loops,
    SilenceChannels,
    SilenceExpert,
    SilenceHead,
    Transplant,
)
from lab.interventions.effect import Effect, Seen, compared, effect, seen
from lab.interventions.reach import reaching

__all__ = [
    "Effect",
    "ForceExpert",
    "Intervention",
    "InterventionError",
    "Loops",
    "Seen",
    "SilenceChannels",
    "SilenceExpert",
    "SilenceHead",
    "Transplant",
    "compared",
    "effect",
    "reaching",
    "seen",
]

"""What is compared: accuracy, bits per byte or loss, which way is better, and how finely it can be measured."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Metric:
    """One number of an ``evaluated`` event.

    higher: whether more is better. absolute: whether margins and gains are counted in the number itself (points of
    accuracy), or relative to the reference's mean. resolution: the smallest spread between seeds that is believed, in
    the same way of counting: a spread below it is the luck of few seeds.
    """

    name: str
    words: str
    higher: bool
    absolute: bool
    resolution: float

    def gains(self, reference: Any, variant: Any) -> np.ndarray:
        """How much better the variant is, seed by seed, in the metric's unit: positive is better, (..., n) each."""
        better = np.asarray(variant, dtype=float) - np.asarray(reference, dtype=float)
        return better if self.higher else -better

    def unit(self, reference: Any) -> np.ndarray:
        """What a share of 1 is in the metric's unit, (...): one whole, or the mean of the reference (..., n)."""
        mean = np.abs(np.asarray(reference, dtype=float).mean(-1))
        return np.ones_like(mean) if self.absolute else mean

    def says(self, share: float) -> str:
        """A share in words, with its sign: ``+1.20 %``, or ``-12.0 points`` of accuracy."""
        size = 100 * share
        return f"{size:+.{1 if abs(size) >= 10 else 2}f} {self.unit_words}"

    def bounded(self, share: Any) -> float:
        """A share within what can be: no accuracy gains or loses more than all."""
        return float(np.clip(share, -1, 1)) if self.absolute else float(share)

    @property
    def unit_words(self) -> str:
        """What a hundredth is called."""
        return "points" if self.absolute else "%"


METRICS = {
    # Some thousand targets of a validation set tell an accuracy to about half a point.
    "accuracy": Metric("accuracy", "accuracy", higher=True, absolute=True, resolution=0.005),
    "bits_per_byte": Metric("bits_per_byte", "bits per byte", higher=False, absolute=False, resolution=1e-6),
    "loss": Metric("loss", "loss", higher=False, absolute=False, resolution=1e-6),
}


def metric_of(evaluated: Any) -> Metric:
    """What an ``evaluated`` event is judged by: accuracy where it has one, else bits per byte, else the loss."""
    for name in ("accuracy", "bits_per_byte"):
        if getattr(evaluated, name, None) is not None:
            return METRICS[name]
    return METRICS["loss"]

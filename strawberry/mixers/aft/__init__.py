"""The attention-free transformers: averages of the past, weighed by keys and learned biases of position."""

from strawberry.mixers.aft.full import AFTFull
from strawberry.mixers.aft.simple import AFT
from strawberry.mixers.aft.windowed import AFTConv, AFTLocal

__all__ = ["AFT", "AFTConv", "AFTFull", "AFTLocal"]

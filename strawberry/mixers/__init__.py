"""Token mixers under one contract, and the registry that names them."""

from strawberry.mixers.abundance import Abundance
from strawberry.mixers.aft import AFT
from strawberry.mixers.base import TokenMixer
from strawberry.mixers.cross import Cross
from strawberry.mixers.softmax import Softmax, Window

MIXERS: dict[str, type[TokenMixer]] = {
    "softmax": Softmax,
    "window": Window,
    "aft": AFT,
    "abundance": Abundance,
    "cross": Cross,
}

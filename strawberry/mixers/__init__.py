"""Token mixers under one contract, and the registry that names them."""

from strawberry.mixers.abundance import Abundance
from strawberry.mixers.aft import AFT
from strawberry.mixers.base import TokenMixer
from strawberry.mixers.softmax import Softmax

MIXERS: dict[str, type[TokenMixer]] = {
    "aft": AFT,
    "softmax": Softmax,
    "abundance": Abundance,
}

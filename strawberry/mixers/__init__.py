"""Token mixers under one contract, and the registry that names them."""

from strawberry.mixers.abundance import Abundance
from strawberry.mixers.aft import AFT, AFTConv, AFTFull, AFTLocal
from strawberry.mixers.base import TokenMixer
from strawberry.mixers.cross import Cross
from strawberry.mixers.delta import Delta
from strawberry.mixers.infini import Infini
from strawberry.mixers.linear import LinearAttention
from strawberry.mixers.retention import GatedRetention, MultiScaleRetention
from strawberry.mixers.softmax import Softmax, Window

MIXERS: dict[str, type[TokenMixer]] = {
    "softmax": Softmax,
    "window": Window,
    "aft": AFT,
    "aft-full": AFTFull,
    "aft-local": AFTLocal,
    "aft-conv": AFTConv,
    "retention": MultiScaleRetention,
    "gated-retention": GatedRetention,
    "linear": LinearAttention,
    "abundance": Abundance,
    "delta": Delta,
    "infini": Infini,
    "cross": Cross,
}

"""Every mixer of the registry keeps the contract."""

import pytest

from strawberry.mixers import MIXERS, TokenMixer
from tests.mixers.contract import Contract


@pytest.fixture(params=[name for name in MIXERS if name != "cross"])
def kind(request: pytest.FixtureRequest) -> type[TokenMixer]:
    return MIXERS[request.param]


class TestContract(Contract):
    """The checks of :class:`Contract`, once for every registered mixer that has a state of its own."""

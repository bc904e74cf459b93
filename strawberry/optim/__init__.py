"""How the weights are moved: parameter groups, Muon, AdamW, Adam and the schedule of the learning rate."""

from strawberry.optim.groups import Optimizers
from strawberry.optim.muon import Muon, orthogonalise
from strawberry.optim.schedule import learning_rate, muon_momentum

__all__ = ["Muon", "Optimizers", "learning_rate", "muon_momentum", "orthogonalise"]

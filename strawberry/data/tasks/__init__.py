"""Synthetic tasks with known answers: what a model must be able to do, each in one file."""

from strawberry.data.tasks.compression import Compression
from strawberry.data.tasks.dyck import Dyck
from strawberry.data.tasks.fuzzy_recall import FuzzyRecall
from strawberry.data.tasks.induction import Induction
from strawberry.data.tasks.letters import Letters
from strawberry.data.tasks.memorisation import Memorisation
from strawberry.data.tasks.modular import Modular
from strawberry.data.tasks.mqar import MultiQueryRecall
from strawberry.data.tasks.noisy_recall import NoisyRecall
from strawberry.data.tasks.pointers import Pointers
from strawberry.data.tasks.selective_copy import SelectiveCopy
from strawberry.data.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "mqar": MultiQueryRecall,
    "induction": Induction,
    "selective-copy": SelectiveCopy,
    "memorisation": Memorisation,
    "fuzzy-recall": FuzzyRecall,
    "noisy-recall": NoisyRecall,
    "compression": Compression,
    "modular": Modular,
    "dyck": Dyck,
    "pointers": Pointers,
    "letters": Letters,
}

__all__ = ["TASKS", "Task"]

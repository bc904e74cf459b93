"""Synthetic tasks with known answers: what a model must be able to do, each in one file."""

from strawberry.data.tasks.mqar import MultiQueryRecall
from strawberry.data.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "mqar": MultiQueryRecall,
}

__all__ = ["TASKS", "Task"]

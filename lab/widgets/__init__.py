"""Widgets for notebooks: the only part of the lab that knows Jupyter."""

from lab.widgets.training import TrainingWidget

__all__ = ["TrainingWidget"]

"""Widgets for notebooks: the only part of the lab that knows Jupyter."""

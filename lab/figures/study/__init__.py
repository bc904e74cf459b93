"""A study's numbers in, one figure out: verdicts, learning, costs, tasks, learning rates.

Apart from `lab.figures`, since these need the statistics of `lab.ablate`, which take a second to load.
"""

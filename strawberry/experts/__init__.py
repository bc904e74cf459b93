"""Experts: a router sends each token to a few of them, and balancing keeps them all in use."""

"""Recursion: how often a token goes through the stack, decided by chance, by a router or by a confidence."""

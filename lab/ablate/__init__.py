"""Honest ablations: variants compared at equal budgets, over seeds, with statistics that say when they cannot say."""

"""Votes among a problem's chains: rules, early stopping, counterfactuals, minimal flips. Pure functions."""

"""Runs: a run's folder with its manifest, recipe, event log and lock, and which models and problems it has."""

"""The kinds of rankers by name: built-in ones, and those of plugins. Their classes are in rankers/."""

from __future__ import annotations

from nsad_cli.config.plugins import RANKERS, plugin_names

HEAD = "head"
"""A LoRA and a linear head on the student's base."""
PROBE = "probe"
"""A linear head on the hidden states that chains were generated from."""
IMPLICIT_PRM = "implicit-prm"
"""A LoRA trained so that its log-likelihood ratio to the student tells right chains from wrong ones."""
ENCODER = "encoder"
"""A model of its own."""
COMBINED = "combined"
"""A logistic model on log-probabilities, step checks and the probe's hidden state."""
STEPS = "steps"
"""The share of checked steps that hold; no model."""
DEFAULT_SPLIT = 96
"""Problems that a new run keeps for a combined ranker."""
BUILT_IN = (COMBINED, STEPS, HEAD, IMPLICIT_PRM, PROBE, ENCODER)
READS_STATES = (PROBE, COMBINED)
"""Kinds that read the hidden states of the student that generates the chains."""
NEEDS_STUDENT = (*READS_STATES, IMPLICIT_PRM)
"""Kinds whose scores depend on the adapter of the student that generates the chains."""


def ranker_kinds() -> tuple[str, ...]:
    """Return every kind that `training.ranker.kind` takes; no plugin is imported."""
    return (*BUILT_IN, *(name for name in plugin_names(RANKERS) if name not in BUILT_IN))

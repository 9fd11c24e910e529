"""The size of the effect of NAT's negative branch in words; without torch, for all that shows it."""

from __future__ import annotations

NO_EFFECT, SMALL_EFFECT = 1e-3, 1e-2
"""Nats a token below which the effect is called none, and small."""


def effect_size(kl: float) -> str:
    """Return `none`, `small` or `clear` for a KL divergence in nats a token."""
    return "none" if kl < NO_EFFECT else "small" if kl < SMALL_EFFECT else "clear"


def short_effect(kl: float) -> str:
    """Format an effect for a narrow place: KL 0.0003: none."""
    return f"KL {kl:.4f}: {effect_size(kl)}"


def describe_effect(kl: float, share: float | None) -> str:
    """Format an effect: KL 0.0003 nats a token, 1% of the unit's output: none."""
    of_output = "" if share is None else f", {share:.0%} of the unit's output"
    return f"KL {kl:.4f} nats a token{of_output}: {effect_size(kl)}"

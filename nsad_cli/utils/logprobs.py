"""Log-probabilities as a file or a server tells them: what is one, and what cannot be."""

from __future__ import annotations

import math

ROUNDING = 0.01
"""Engines that work in few bits tell a certain token a little above 0."""


def log_probability(value: object) -> float | None:
    """The value as a natural-log probability, at most 0; None where it is none.

    That is: not a number, NaN, infinite, or above zero by more than rounding.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return min(float(value), 0.0) if math.isfinite(value) and value <= ROUNDING else None

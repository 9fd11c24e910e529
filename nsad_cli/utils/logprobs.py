"""Validation of log-probabilities from files and servers."""

from __future__ import annotations

import math

ROUNDING_TOLERANCE = 0.01
"""In low precision, the log-probability of a certain token can be slightly above 0."""


def log_probability(value: object) -> float | None:
    """Return the value as a natural-log probability, at most 0.

    Returns:
        None if the value is not a number, NaN, infinite, beyond all floats, or above zero by more than rounding.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return min(float(value), 0.0) if math.isfinite(value) and value <= ROUNDING_TOLERANCE else None
    except OverflowError:  # an integer of hundreds of digits
        return None

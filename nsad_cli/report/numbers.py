"""Numbers read from files that anything may have written."""

from __future__ import annotations

from typing import Any

LARGEST = 1e100
"""Larger numbers are left out: arithmetic on them could overflow."""


def number(value: Any) -> float | None:
    """Return a value if it is a finite number of ordinary size, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:  # false for NaN too
        return None
    return value


def interval(value: Any) -> tuple[float, float] | None:
    """Return a pair of such numbers, else None."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = map(number, value)
    return None if low is None or high is None else (low, high)

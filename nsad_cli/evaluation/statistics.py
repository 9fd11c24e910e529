"""Estimates with intervals."""

from __future__ import annotations

import math

Z95 = 1.959963984540054


def wilson(right: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927; Brown, Cai and DasGupta 2001): 95 % by default.

    Fractions in [0, 1]; (0, 1) for n = 0. 50 of 100 gives 0.4038 … 0.5962.
    """
    if n == 0:
        return 0.0, 1.0
    p, z2 = right / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, centre - half) if right else 0.0, min(1.0, centre + half) if right < n else 1.0

"""Estimates with intervals, and tests of a difference between two systems on the same problems."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Z95 = 1.959963984540054
RESAMPLES = 10_000


def wilson(right: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927; Brown, Cai and DasGupta 2001): 95 % by default.

    Fractions in [0, 1]; (0, 1) for n = 0. 50 of 100 gives 0.4038 … 0.5962. `right` may be a sum of n values between 0
    and 1, one a problem: their variance is at most that of a share, so the interval is then no narrower than it should.
    """
    if n == 0:
        return 0.0, 1.0
    p, z2 = right / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z2 / (4 * n * n))
    low = max(0.0, min(centre - half, p)) if right else 0.0
    return low, min(1.0, max(centre + half, p)) if right < n else 1.0


def pass_at_k(n: int, right: int, k: int) -> float:
    """The unbiased estimate that one of k chains is right, from n chains of a problem (Chen et al. 2021).

    1 − C(n−c, k) / C(n, k), with c of n right and k ≤ n. Of 5 with 2 right, k = 2: 1 − 3/10 = 0.7. k = 1 is the mean.
    """
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value that two systems are right equally often (McNemar 1947; Edwards 1948).

    Takes the problems that only the one, or only the other, has right: under the hypothesis each is a fair coin.
    6 and 1: 2 × (1 + 7) / 2⁷ = 0.125.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n)


def newcombe(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """The paired 95 % interval of mean(b) − mean(a) from Wilson's intervals of both (Newcombe 1998, method 10).

    a, b: each problem's value in [0, 1] under either system, in the same order; at least one. Unlike the bootstrap's it
    has a positive width if few problems differ, or none: 6 that are alike, 2 of them right, give ±0.286. Both shares'
    distances to their Wilson limits are joined as errors with the correlation φ, which a continuity correction lowers.
    For values between 0 and 1 see wilson: the interval is then no narrower than it should be.
    """
    n = len(a)
    p, q = sum(a) / n, sum(b) / n
    # ad − bc of the fourfold table; for values between 0 and 1, n² times their covariance
    together = n * sum(x * y for x, y in zip(a, b, strict=True)) - sum(a) * sum(b)
    scale = math.sqrt(max(p * (1 - p) * q * (1 - q), 0.0)) * n * n
    phi = 0.0 if scale <= 0 else (max(together - n / 2, 0.0) if together > 0 else together) / scale
    (low_p, high_p), (low_q, high_q) = wilson(sum(a), n), wilson(sum(b), n)

    def joined(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    return q - p - joined(q - low_q, high_p - p), q - p + joined(high_q - q, p - low_p)


def paired_bootstrap(a: Sequence[float], b: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The percentile 95 % interval of mean(b) − mean(a), over resampled problems (Efron and Tibshirani 1993, ch. 13).

    a, b: each problem's value under either system, in the same order; at least one. Deterministic by seed. If few
    problems differ it is too narrow, and if none does it has no width: see newcombe.
    """
    import numpy

    difference = numpy.asarray(b, dtype=float) - numpy.asarray(a, dtype=float)
    values, counts = numpy.unique(difference, return_counts=True)
    drawn = numpy.random.default_rng(seed).multinomial(len(difference), counts / len(difference), size=RESAMPLES)
    low, high = numpy.percentile(drawn @ values / len(difference), [2.5, 97.5])
    return float(low), float(high)

"""Confidence intervals, pass@k, and paired tests of two systems on the same problems."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Z95 = 1.959963984540054
RESAMPLES = 10_000


def wilson(right: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927; Brown, Cai and DasGupta 2001).

    50 of 100 gives 0.4038 … 0.5962.

    Args:
        right: The number of successes, or a sum of n values in [0, 1], one per problem. Such values have at most the
            variance of a proportion, so the interval is then conservative.
        n: The number of problems.
        z: The normal quantile; the default gives a 95 % interval.

    Returns:
        The limits, as fractions in [0, 1]; (0, 1) for n = 0.
    """
    if n == 0:
        return 0.0, 1.0
    p, z2 = right / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z2 / (4 * n * n))
    low = max(0.0, min(centre - half, p)) if right else 0.0
    return low, min(1.0, max(centre + half, p)) if right < n else 1.0


def pass_at_k(n: int, right: int, k: int) -> float:
    """Unbiased estimate of pass@k, the probability that at least one of k chains is right (Chen et al. 2021).

    1 − C(n−c, k) / C(n, k), with c of n chains right and k ≤ n; k = 1 is the mean. n = 5, c = 2, k = 2: 1 − 3/10 = 0.7.
    """
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test that two systems are equally accurate (McNemar 1947; Edwards 1948).

    6 and 1: 2 × (1 + 7) / 2⁷ = 0.125.

    Args:
        only_a: The number of problems that only the first system has right.
        only_b: The number of problems that only the second system has right. Under the null hypothesis each such
            problem is a fair coin flip.

    Returns:
        The p-value.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / (1 << n))


def newcombe(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Paired 95 % interval of mean(b) − mean(a), from the Wilson intervals of both (Newcombe 1998, method 10).

    The distances of both means to their Wilson limits are combined like errors with correlation φ, reduced by a
    continuity correction. Unlike the bootstrap interval, it has a positive width even if no problem differs: 6 equal
    problems, 2 of them right, give ±0.286. For values between 0 and 1 it is conservative, as in wilson.

    Args:
        a: Each problem's value in [0, 1] under the first system; at least one.
        b: The values under the second system, in the same order.

    Returns:
        The limits of the interval.
    """
    n = len(a)
    p, q = sum(a) / n, sum(b) / n
    # n² times the covariance; for values 0 and 1, ad − bc of the 2×2 table
    covariance = n * sum(x * y for x, y in zip(a, b, strict=True)) - sum(a) * sum(b)
    scale = math.sqrt(max(p * (1 - p) * q * (1 - q), 0.0)) * n * n
    phi = 0.0 if scale <= 0 else (max(covariance - n / 2, 0.0) if covariance > 0 else covariance) / scale
    (low_p, high_p), (low_q, high_q) = wilson(sum(a), n), wilson(sum(b), n)

    def combined(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    return q - p - combined(q - low_q, high_p - p), q - p + combined(high_q - q, p - low_p)


def paired_bootstrap(a: Sequence[float], b: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap 95 % interval of mean(b) − mean(a), resampling problems (Efron and Tibshirani 1993, ch. 13).

    If few problems differ, the interval is too narrow, and if none differs, its width is zero: see newcombe.

    Args:
        a: Each problem's value under the first system; at least one.
        b: The values under the second system, in the same order.
        seed: The seed; the result is deterministic.

    Returns:
        The limits of the interval.
    """
    import numpy

    difference = numpy.asarray(b, dtype=float) - numpy.asarray(a, dtype=float)
    values, counts = numpy.unique(difference, return_counts=True)
    drawn = numpy.random.default_rng(seed).multinomial(len(difference), counts / len(difference), size=RESAMPLES)
    low, high = numpy.percentile(drawn @ values / len(difference), [2.5, 97.5])
    return float(low), float(high)

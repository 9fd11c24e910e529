"""Paired statistics of a study: a test and an interval clustered by problem, Holm's correction, the power."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from nsad_cli.utils.statistics import mcnemar, newcombe, paired_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA = 0.05
POWER = 0.8
Outcomes = list[float]
"""A value for each problem, in order: 1 right, 0 wrong."""


def sign_flip(totals: Sequence[int]) -> float:
    """Exact two-sided p-value of the sign-flip permutation test, by problem (Fisher 1935; Good 2005).

    Under the null hypothesis the two systems are exchangeable in each problem, in all seeds at once: the sign of a
    problem's total is a fair coin flip. With one seed this is McNemar's exact test. [2, 1]: |sum| reaches 3 in two of
    four flips, 0.5.

    Args:
        totals: Each problem's difference, summed over seeds.

    Returns:
        The p-value.
    """
    import numpy

    reach, observed = sum(map(abs, totals)), abs(sum(totals))
    chances = numpy.zeros(2 * reach + 1)  # of the sums −reach … reach
    chances[reach] = 1.0
    for total in filter(None, map(abs, totals)):
        chances = (numpy.roll(chances, total) + numpy.roll(chances, -total)) / 2
    return float(min(1.0, 2 * chances[reach + observed :].sum())) if observed else 1.0


def clustered_bootstrap(differences: Sequence[Outcomes], seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap 95 % interval of the mean difference; problems are resampled with all of their seeds.

    Args:
        differences: For each seed, each problem's difference; at least one seed and one problem.
        seed: The seed of the resampling; the result is deterministic.

    Returns:
        The limits of the interval.

    Source: Davison and Hinkley (1997), section 3.8, with problems as clusters.
    """
    means = [sum(values) / len(differences) for values in zip(*differences, strict=True)]
    return paired_bootstrap([0.0] * len(means), means, seed)


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p-values for several comparisons with one control (Holm 1979).

    The smallest of m is multiplied by m, the next one by m − 1, and so on; none falls below the one before it.
    [0.01, 0.04, 0.03]: 0.03, 0.06, 0.06.

    Args:
        values: The p-values.

    Returns:
        The adjusted ones, in the same order.
    """
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def minimal_difference(
    differences: Sequence[float], *, seeds: int = 1, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Smallest true difference of accuracy that a paired design detects with a given probability.

    Solves √n·δ = z(1−α/2)·√ψ + z(power)·√(ψ − δ²) for δ, with the observed mean square ψ of the differences; for one
    seed ψ is the share of problems that only one system has right. If too few problems differ for this approximation,
    the fewest that an exact test needs: 2·0.5ᵏ ≤ α for k problems that all differ in the same direction, in one seed.

    Args:
        differences: Each problem's difference, averaged over seeds.
        seeds: The number of seeds.
        alpha: The two-sided level.
        power: The probability of detection.

    Returns:
        The difference, as a fraction.

    Source: Connor (1987), sample size for McNemar's test.
    """
    n, normal = len(differences), NormalDist()
    square = sum(value * value for value in differences) / n
    a, b = normal.inv_cdf(1 - alpha / 2), normal.inv_cdf(power)
    root = math.sqrt(max(n + b * b - a * a, 0.0))
    solved = math.sqrt(square) * (math.sqrt(n) * a + b * root) / (n + b * b)
    fewest = math.ceil(1 - math.log2(alpha))
    return min(1.0, max(solved, fewest / (n * seeds)))


def compare_seed(control: Outcomes, arm: Outcomes) -> dict[str, Any]:
    """Compare an arm with the control in one seed: difference, Newcombe's interval, McNemar's exact test."""
    pairs = list(zip(control, arm, strict=True))
    lost, won = (sum(pair == which for pair in pairs) for which in ((1.0, 0.0), (0.0, 1.0)))
    return {
        "difference": (sum(arm) - sum(control)) / len(pairs),
        "ci95": list(newcombe(control, arm)),
        "won": won,
        "lost": lost,
        "p": mcnemar(lost, won),
    }


def compare_seeds(control: Sequence[Outcomes], arm: Sequence[Outcomes], comparisons: int = 1) -> dict[str, Any]:
    """Compare an arm with the control over all seeds, clustered by problem.

    Args:
        control: The control's outcomes for each seed, of the same problems in the same order.
        arm: The arm's, for the same seeds.
        comparisons: The number of arms that are compared with the control; the level of `minimal_difference` is
            divided by it, as in the first step of Holm's procedure.

    Returns:
        `difference`, `ci95`, `p`, and `minimal_difference`. The interval is the clustered bootstrap's; if that has no
        width because every problem differs by the same, Newcombe's, of accuracies averaged over seeds.
    """
    both = zip(control, arm, strict=True)
    differences = [[y - x for x, y in zip(first, second, strict=True)] for first, second in both]
    totals = [sum(values) for values in zip(*differences, strict=True)]
    means = [total / len(differences) for total in totals]
    interval = clustered_bootstrap(differences)
    if len(set(means)) == 1:
        interval = newcombe(
            *([sum(group) / len(group) for group in zip(*side, strict=True)] for side in (control, arm))
        )
    return {
        "difference": sum(means) / len(means),
        "ci95": list(interval),
        "p": sign_flip([round(total) for total in totals]),
        "minimal_difference": minimal_difference(means, seeds=len(differences), alpha=ALPHA / max(comparisons, 1)),
    }

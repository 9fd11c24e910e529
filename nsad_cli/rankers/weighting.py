"""From a ranker's probability to the weight of a vote: flat weights cannot outvote, so they are raised to a power.

Calibrated probabilities of 0.6 and 0.4 hardly differ as weights, and a weighted vote then counts like `sc`. Odds raised
to an exponent that is fitted to the accuracy of votes do differ (weighted majority: Nitzan and Paroush 1982 show that
log-odds are optimal between two answers; for sums over chains, see CISC, Taubenfeld et al. 2025, arXiv 2502.06233).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nsad_cli.voting.rules import vote, winner_is_right

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.types import Chain

Form = Literal["odds", "power"]
LOWEST, HIGHEST = 0.01, 0.99
"""Probabilities are clipped to these, so that odds stay finite and no chain has a weight of zero."""
ODDS_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
LIKELIHOOD_EXPONENTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SUBSETS = 24
"""Random halves of each problem's chains that the accuracy is averaged over, beside all chains."""


@dataclass(frozen=True, slots=True)
class Weighting:
    """A weight in [0, 1] that grows with a probability: its odds or itself, raised to an exponent.

    Odds are divided by those of the highest probability, which changes no vote and keeps weights at most 1.
    """

    form: Form = "power"
    exponent: float = 1.0

    def __call__(self, probability: float) -> float:
        """Return the weight of a chain that is right with this probability."""
        if self.form == "power":
            return float(probability**self.exponent)
        p = min(max(probability, LOWEST), HIGHEST)
        return float((p / (1 - p) / (HIGHEST / (1 - HIGHEST))) ** self.exponent)


def fit_exponent(
    problems: Sequence[Sequence[Chain]], rule: str, weigh: Callable[[Chain, float], Chain], exponents: Sequence[float]
) -> float:
    """Find the exponent with the most accurate votes.

    The accuracy is averaged over all of a problem's chains and random halves of them, which smooths its steps. Of equal
    exponents the smallest one is taken: 0 counts chains as `sc` does, so the fit cannot be worse than it on these
    problems.

    Args:
        problems: The graded chains of each problem; their probabilities must not come from a fit to the same problem.
        rule: The rule that uses the weights.
        weigh: Returns a chain with its weight for an exponent.
        exponents: The exponents to try.

    Returns:
        The exponent.
    """
    parts = [(chains, _subsets(len(chains), place)) for place, chains in enumerate(problems)]

    def accuracy(exponent: float) -> float:
        total = 0.0
        for chains, subsets in parts:
            weighed = [weigh(chain, exponent) for chain in chains]
            whole, halves = _right(weighed, rule), [_right([weighed[i] for i in part], rule) for part in subsets]
            total += whole + (sum(halves) / len(halves) if halves else whole)
        return total

    return max(sorted(exponents), key=accuracy)


def _right(chains: Sequence[Chain], rule: str) -> float:
    return float(winner_is_right(chains, vote(chains, rule)))


def _subsets(size: int, seed: int) -> list[list[int]]:
    chance = random.Random(f"subsets:{seed}")
    return [sorted(chance.sample(range(size), size // 2)) for _ in range(SUBSETS)] if size > 3 else []

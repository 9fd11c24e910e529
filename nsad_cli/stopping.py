"""When to stop drawing chains: as soon as the leading answer will most likely stay the leading one.

Adaptive consistency (Aggarwal et al. 2023): with counts v₁ and v₂ of the two leading answers and a uniform prior, the
share of the first among both follows Beta(v₁+1, v₂+1), and the leader leads for good with P(share > 1/2). For counted
votes alone: weighted ones (wsc, asc) have no such posterior.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache

from nsad_cli.types import Chain


@cache
def leader_stays(first: int, second: int) -> float:
    """P(the leader's true share exceeds the runner-up's), from their counts.

    P(Beta(v₁+1, v₂+1) > 1/2) = P(Binomial(v₁+v₂+1, 1/2) ≤ v₁). Counts 3 and 0: (1+4+6+4)/2⁴ = 0.9375.
    """
    n = first + second + 1
    return float(sum(math.comb(n, k) for k in range(first + 1)) / 2**n)


def confidence(chains: Sequence[Chain]) -> float:
    """`leader_stays` of the chains' answer classes; chains without an answer count for none."""
    counts = Counter(chain.answer_class for chain in chains if chain.answer_class is not None).most_common(2)
    first, second = [count for _, count in counts] + [0] * (2 - len(counts))
    return leader_stays(first, second)


def chains_needed(chains: Sequence[Chain], threshold: float, wave: int = 1) -> int:
    """How many of the chains, drawn in their order and `wave` at a time, are drawn before it may stop."""
    for drawn in range(wave, len(chains), wave):
        if confidence(chains[:drawn]) >= threshold:
            return drawn
    return len(chains)

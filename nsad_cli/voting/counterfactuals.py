"""Counterfactual votes: with some chains removed, or with an exponent on the weights."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.voting.rules import SCORE_WEIGHTS, score_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Chain


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Conditions of a counterfactual vote, all of which apply together; the default changes nothing."""

    excluded: frozenset[int] = frozenset()
    """Indices of excluded chains."""
    only: int | None = None
    """Keep only the chains of this answer class."""
    first: int | None = None
    """Keep only this many chains, the first by index."""
    power: float = 1.0
    """The exponent of the weights; see `with_exponent`."""

    @property
    def is_default(self) -> bool:
        """Whether no condition is set."""
        return self == WhatIf()


def remaining_chains(chains: Sequence[Chain], what_if: WhatIf) -> list[Chain]:
    """Return the chains that meet the conditions, by index, with their weights unchanged."""
    return [
        chain
        for chain in sorted(chains, key=lambda chain: chain.index)[: what_if.first]
        if chain.index not in what_if.excluded and (what_if.only is None or chain.answer_class == what_if.only)
    ]


def with_exponent(chains: Sequence[Chain], rule: str, power: float) -> list[Chain]:
    """Raise every weight to a power.

    `sc` has weight 1 for any power. `wsc` raises exp(mean log-probability), `asc` the score, `asc-add` 1 + score,
    `asc-add2` 1 + 2 · score; a negative weight keeps its sign, and a chain without a score gets the mean of the raised
    weights. `best` keeps its order for any power above 0. Power 1 changes nothing; with power 0 every weight is 1, so
    that all other rules count chains as `sc` does, and `best` takes the first answer.

    Args:
        chains: The chains of one problem.
        rule: The rule that the weights are for.
        power: The exponent, at least 0.

    Returns:
        Copies of the chains from which `vote` computes the raised weights.

    Raises:
        UsageError: The power is negative or not finite, or a raised weight overflows.
    """
    if not (math.isfinite(power) and power >= 0):
        raise UsageError(
            f"invalid exponent {power}", "it must be finite and not negative", "give a number of 0 or more"
        )
    if power == 1 or rule == "sc":
        return list(chains)
    if rule == "wsc":
        return [_likelihood_raised(chain, power) for chain in chains]
    plus, times = SCORE_WEIGHTS[rule]
    return [_raised(chain, score_of(chain, rule), plus, times, power) for chain in chains]


def _likelihood_raised(chain: Chain, power: float) -> Chain:
    if chain.likelihood is not None:
        return dataclasses.replace(chain, likelihood=_raise(chain.likelihood, power))
    # exp(mean) ** power = exp(power · mean)
    return chain if chain.logprob is None else dataclasses.replace(chain, logprobs=(power * chain.logprob,))


def _raised(chain: Chain, score: float | None, plus: float, times: float, power: float) -> Chain:
    if score is None or not math.isfinite(score):
        return chain
    return dataclasses.replace(chain, weight=(_raise(plus + times * score, power) - plus) / times, probability=None)


def _raise(weight: float, power: float) -> float:
    if power == 0:
        return 1.0
    try:
        return math.copysign(abs(weight) ** power, weight)
    except OverflowError as error:
        raise UsageError(
            f"{weight:g} ** {power:g} is too large", "the result overflows", "lower the exponent"
        ) from error

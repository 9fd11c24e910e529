"""What a vote would be, were some chains not there or did weights count more or less."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Chain


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is assumed; as it stands: nothing. The conditions hold together."""

    excluded: frozenset[int] = frozenset()
    """Indices of chains that are left out."""
    only: int | None = None
    """The one answer class whose chains stay."""
    first: int | None = None
    """How many chains, in the order of their indices, were drawn."""
    power: float = 1.0
    """The exponent of the weights; see `raised`."""

    @property
    def nothing(self) -> bool:
        """Whether all is as it was."""
        return self == WhatIf()


def kept(chains: Sequence[Chain], what_if: WhatIf) -> list[Chain]:
    """The chains that are left, by index; the exponent changes none of them."""
    return [
        chain
        for chain in sorted(chains, key=lambda chain: chain.index)[: what_if.first]
        if chain.index not in what_if.excluded and (what_if.only is None or chain.answer_class == what_if.only)
    ]


def raised(chains: Sequence[Chain], rule: str, power: float) -> list[Chain]:
    """The chains as a vote by `rule` sees them where every weight is raised to a power.

    `sc` has weight 1, whatever the power. `wsc` raises exp(mean log-probability), `asc` the score, `asc-add` 1 + score;
    a weight below zero keeps its sign, and a chain without a score gets the mean of the raised ones. `best` keeps its
    order for any power above 0. Power 1 changes nothing; with power 0 every weight is 1: `wsc`, `asc` and `asc-add`
    then count chains as `sc` does, and `best` takes the first answer. Raises UsageError for a power below zero, and
    where a raised weight is too great for a number.
    """
    if not (math.isfinite(power) and power >= 0):
        raise UsageError(f"{power} cannot be an exponent", "it turns weights over", "give a number of 0 or more")
    if power == 1 or rule == "sc":
        return list(chains)
    if rule == "wsc":
        # exp(mean) ** power = exp(power · mean)
        return [
            chain if chain.logprob is None else dataclasses.replace(chain, logprobs=(power * chain.logprob,))
            for chain in chains
        ]
    plus = 1.0 if rule == "asc-add" else 0.0
    return [
        chain
        if chain.weight is None or not math.isfinite(chain.weight)
        else dataclasses.replace(chain, weight=_raise(chain.weight + plus, power) - plus)
        for chain in chains
    ]


def _raise(weight: float, power: float) -> float:
    if power == 0:
        return 1.0
    try:
        return math.copysign(abs(weight) ** power, weight)
    except OverflowError as error:
        raise UsageError(f"{weight:g} ** {power:g} is too great", "no number holds it", "lower the exponent") from error

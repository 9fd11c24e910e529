"""Early stopping of sampling: stop once the leading answer is likely enough to stay ahead.

Counted votes (`sc`) by adaptive consistency (Aggarwal et al. 2023): with counts v₁ and v₂ of the two leading answers
and a uniform prior, the share of the first among both follows Beta(v₁+1, v₂+1), and the leader leads for good with
P(share > 1/2).

Weighted votes (`wsc`, `asc`, `asc-add`) by an extension of ours. That posterior is a race: give every chain of the two
answers an exponential variable, and one more to each answer for the prior; the leader leads where its sum is greater.
With weights each variable counts by its chain's weight (the Bayesian bootstrap, Rubin 1981). The two of the prior are
taken against the leader: on its side the lightest weight drawn, on its rival's the most that the rule can give, since a
heavy chain may be still to come. Where all chains weigh that much this is the posterior above; otherwise it is less
sure, and where all are light it hardly stops. In `tests/benchmarks/stopping.py` it is never less sure than it says;
with the heaviest weight drawn on the rival's side it was (77 to 99 % right where it said 95 %, the worse the sharper
the ranker), and with mean weights on both. `best` has none: a further chain can always take its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.voting.rules import applicable_rule, chain_weights, vote, winner_is_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Chain

STOPPABLE = ("sc", "wsc", "asc", "asc-add")
"""Rules whose votes give a confidence in the leader."""
MAX_WEIGHT = {"sc": 1.0, "wsc": 1.0, "asc": 1.0, "asc-add": 2.0}
"""The maximum weight of a chain: a likelihood is at most 1, and so is a ranker's score."""


def require_stoppable(rule: str) -> None:
    """Raise UsageError if a rule does not support early stopping."""
    if rule not in STOPPABLE:
        raise UsageError(
            f"--stop-at does not go with --rule {rule}",
            "only a sum of votes gives a confidence in its leader: one further chain can always change the single best",
            f"use --rule {', '.join(STOPPABLE[:-1])} or {STOPPABLE[-1]}, or leave --stop-at out",
        )


@cache
def leader_stays(first: int, second: int) -> float:
    """P(the leader's true share exceeds the runner-up's), from their counts.

    P(Beta(v₁+1, v₂+1) > 1/2) = P(Binomial(v₁+v₂+1, 1/2) ≤ v₁). Counts 3 and 0: (1+4+6+4)/2⁴ = 0.9375.
    """
    n = first + second + 1
    return float(sum(math.comb(n, k) for k in range(first + 1)) / 2**n)


def sum_is_greater(first: Sequence[float], second: Sequence[float]) -> float:
    """P(Σ aᵢEᵢ > Σ bⱼEⱼ) for independent standard exponentials E and positive weights a (first) and b (second).

    Exact: both sums are times at which a row of such waits is over. While aᵢ and bⱼ run, b's ends first with
    probability aᵢ/(aᵢ+bⱼ), and nothing is remembered. Weights 2 and 1: 2/3.
    """
    chance = [0.0] * len(second) + [1.0]  # [j]: the first row is over, j of the second are
    for a in reversed(first):
        after, chance = chance, [0.0] * len(second) + [1.0]
        for j in range(len(second) - 1, -1, -1):
            chance[j] = (second[j] * after[j] + a * chance[j + 1]) / (a + second[j])
    return chance[0]


def confidence(chains: Sequence[Chain], rule: str = "sc") -> float:
    """Compute the probability that the leading answer stays ahead; 1/2 if no chain has an answer.

    A chain without an answer does not vote, and one with weight zero counts hardly at all.

    Raises:
        UsageError: The rule has no such probability, or a weight is missing, negative, or above the rule's maximum.
    """
    require_stoppable(rule)
    weights = chain_weights(chains, rule)
    for wrong, what, why in (
        (min(weights.values(), default=0.0) < 0, "below zero", "a chain that counts against its own answer"),
        (max(weights.values(), default=0.0) > MAX_WEIGHT[rule], "above one", "a scale whose end is not known"),
    ):
        if wrong:
            raise UsageError(
                "--stop-at needs scores from zero to one",
                f"a recorded score is {what}: {why} makes no leader sure",
                "leave --stop-at out, or use --rule sc",
            )
    groups: dict[int, list[float]] = {}
    for chain in sorted(chains, key=lambda chain: chain.index):
        if chain.answer_class is not None:
            groups.setdefault(chain.answer_class, []).append(weights[chain.index])
    if not groups:
        return 0.5
    ranked = sorted(groups.values(), key=math.fsum, reverse=True)
    leader, rival = ranked[0], ranked[1] if len(ranked) > 1 else []
    if rule == "sc":
        return leader_stays(len(leader), len(rival))
    drawn = [weight for group in ranked for weight in group if weight > 0]
    if not drawn:
        return 0.5
    ahead, behind = ([weight for weight in group if weight > 0] for group in (leader, rival))
    return sum_is_greater([*ahead, min(drawn)], [*behind, MAX_WEIGHT[rule]])


def chains_needed(chains: Sequence[Chain], threshold: float, wave: int = 1, rule: str = "sc") -> int:
    """Count the chains that are sampled, in order and `wave` at a time, before the vote may stop.

    While none of the sampled chains has the score that the rule needs, chains are counted as for `sc`.

    Args:
        chains: The chains in sampling order.
        threshold: The confidence at which to stop, from 0 to 1.
        wave: The number of chains sampled between two checks.
        rule: The rule.
    """
    for drawn in range(wave, len(chains), wave):
        if confidence(chains[:drawn], applicable_rule(chains[:drawn], rule)) >= threshold:
            return drawn
    return len(chains)


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """The effect of early stopping on one problem."""

    drawn: int
    right: bool
    same: bool
    """Whether the answer equals that of the vote of all chains."""


def simulate_early_stop(chains: Sequence[Chain], threshold: float, wave: int, rule: str) -> EarlyStop:
    """Stop after `chains_needed` chains, vote, and compare the result with the vote of all chains."""
    drawn = chains_needed(chains, threshold, wave, rule)
    first = chains[:drawn]
    early, whole = vote(first, applicable_rule(first, rule)), vote(chains, rule)
    classes = {chain.index: chain.answer_class for chain in chains}
    winners = [[classes[item.chains[0]] for item in ballot.votes[:1]] for ballot in (early, whole)]
    return EarlyStop(drawn, winner_is_right(chains, early), winners[0] == winners[1])

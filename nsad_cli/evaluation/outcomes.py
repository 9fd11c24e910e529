"""Outcomes of evaluated problems under every voting rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.utils.statistics import pass_at_k
from nsad_cli.voting.rules import RANKER_RULES, any_right, applicable_rule, vote, winner_is_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Chain

GREEDY = "greedy"
MEAN = "mean"
"""Mean accuracy over a problem's sampled chains."""
ANY = "any"
"""Whether any sampled chain is right: the upper bound of every vote."""
Outcomes = dict[str, list[float]]
"""For each rule, or GREEDY, a value in [0, 1] per problem, in order: 1 right, 0 wrong, or an estimate."""


def outcomes(greedy: Sequence[Sequence[Chain]], sampled: Sequence[Sequence[Chain]]) -> Outcomes:
    """Evaluate each problem's greedy chain, and its sampled chains under every applicable rule.

    Args:
        greedy: Each problem's greedy chain, or an empty sequence.
        sampled: Each problem's sampled chains, the same number for every problem.

    Returns:
        The outcomes.
    """
    found: Outcomes = {}
    if any(greedy):
        found[GREEDY] = [float(any(chain.correct for chain in group)) for group in greedy]
    if not any(sampled):
        return found
    for rule in rules_for(sampled):
        found[rule] = [float(winner_is_right(group, vote(group, applicable_rule(group, rule)))) for group in sampled]
    found[ANY] = [float(any_right(group)) for group in sampled]
    found[MEAN] = [_passed(group, 1) for group in sampled]
    k, n = 2, min(len(group) for group in sampled)
    while k < n:
        found[f"pass@{k}"] = [_passed(group, k) for group in sampled]
        k *= 2
    return found


def rules_for(sampled: Sequence[Sequence[Chain]]) -> list[str]:
    """Return the applicable rules: `wsc` needs log-probabilities, the ranker's rules need scores, of all chains.

    Empty chains need neither.
    """
    chains = [chain for group in sampled for chain in group]
    has_logprobs = all(chain.logprobs for chain in chains if chain.text.strip())
    scored = any(chain.weight is not None for chain in chains) and all(map(is_scored, sampled))
    return ["sc", *(["wsc"] if has_logprobs else []), *(RANKER_RULES if scored else ())]


def is_scored(group: Sequence[Chain]) -> bool:
    """Return whether every chain of a problem has a score, except empty ones, which cannot be scored."""
    return all(chain.weight is not None or not chain.text.strip() for chain in group)


def estimated(rule: str) -> bool:
    """Return whether a rule's values are estimates between 0 and 1 instead of right or wrong."""
    return rule == MEAN or rule.startswith("pass@")


def _passed(group: Sequence[Chain], k: int) -> float:
    return pass_at_k(len(group), sum(bool(chain.correct) for chain in group), k)

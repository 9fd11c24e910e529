"""What each problem came to under every rule: the one place that votes over measured chains."""

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
Outcomes = dict[str, list[float]]
"""Under each rule, or greedily, a value in [0, 1] for each problem, in order: 1 right, 0 wrong, or an estimate."""


def outcomes(greedy: Sequence[Sequence[Chain]], sampled: Sequence[Sequence[Chain]]) -> Outcomes:
    """What each problem's greedy chain, and its sampled ones, came to under every rule that they allow.

    Each problem has as many sampled chains as the others, or none has any.
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
    """The votes that the chains allow: `wsc` needs all log-probabilities, three rules all scores; empty chains none."""
    chains = [chain for group in sampled for chain in group]
    likely = all(chain.logprobs for chain in chains if chain.text.strip())
    scored = any(chain.weight is not None for chain in chains) and all(map(is_scored, sampled))
    return ["sc", *(["wsc"] if likely else []), *(RANKER_RULES if scored else ())]


def is_scored(group: Sequence[Chain]) -> bool:
    """Whether a ranker has scored a problem's chains, as far as it can: empty ones have no score."""
    return all(chain.weight is not None or not chain.text.strip() for chain in group)


def estimated(rule: str) -> bool:
    """Whether a rule's values are estimates between 0 and 1, not right or wrong."""
    return rule == MEAN or rule.startswith("pass@")


def _passed(group: Sequence[Chain], k: int) -> float:
    return pass_at_k(len(group), sum(bool(chain.correct) for chain in group), k)

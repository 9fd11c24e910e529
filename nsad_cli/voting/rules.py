"""Voting rules: from weighted chains with known answer classes to a ballot. Pure functions."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.types import Ballot, Chain, Vote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RULES = ("sc", "wsc", "asc", "asc-add", "asc-add2", "best")
SCORE_WEIGHTS = {"asc": (0.0, 1.0), "asc-add": (1.0, 1.0), "asc-add2": (1.0, 2.0), "best": (0.0, 1.0)}
"""(a, b) of each rule that needs a ranker's scores: a chain's weight is a + b · score."""
RANKER_RULES = tuple(SCORE_WEIGHTS)
MAX_NAME_CHARS = 60
"""The maximum number of characters of a problem that an error quotes."""
MAX_SCORE = 1e100
"""The largest absolute value of a score; sums and squares of larger ones could overflow."""
Weights = dict[int, float]
"""A weight for each chain's index."""


def vote(chains: Sequence[Chain], rule: str) -> Ballot:
    """Vote among a problem's chains.

    `sc` counts chains (self-consistency, Wang et al. 2023); `wsc` weights a chain by exp(mean token log-probability),
    or a power of it; `asc` by the ranker's weight; `asc-add` by 1 + the ranker's probability (section 3.3 of the paper)
    and `asc-add2` by 1 + 2 · it, or by the weight in its place if the ranker gives no probability; `best` takes the
    class of the chain with the highest weight. A chain without an answer does not vote. Ties go to the class with the
    highest single weight (not for `sc`), then, if all sums are zero, to the larger class, then to the lowest chain
    index. The share is a fraction of all positive weight; built-in rankers give no negative weights, and negative
    recorded scores are summed as they are.

    An additional chain for the winner never makes another answer win, with one exception: a chain that the ranker could
    not score gets the mean score, which changes with every additional score.

    Args:
        chains: The chains of one problem.
        rule: The rule.

    Returns:
        The ballot.

    Raises:
        UsageError: The rule is unknown, or the weights that it needs are missing.
    """
    weights = chain_weights(chains, rule)
    members: dict[int, list[Chain]] = {}
    for chain in sorted(chains, key=lambda chain: chain.index):
        if chain.answer_class is not None:
            members.setdefault(chain.answer_class, []).append(chain)
    if not members:
        return Ballot(rule, None, 0.0, ())
    best_rule = rule == "best"

    def strength(group: list[Chain]) -> tuple[float, float, int, int]:
        own = [weights[chain.index] for chain in group]
        total = max(own) if best_rule else math.fsum(own)  # fsum is exact, so the order of chains has no effect
        size = len(own) if total == 0 and not best_rule else 0  # all weights are zero: count chains as `sc` does
        return (-total, -max(own) if rule != "sc" else 0.0, -size, group[0].index)

    ranked = sorted(members.values(), key=strength)
    votes = tuple(
        Vote(
            answer=group[0].answer or "",
            count=len(group),
            weight=math.fsum(weights[chain.index] for chain in group),
            chains=tuple(chain.index for chain in group),
        )
        for group in ranked
    )
    total = math.fsum(max(item.weight, 0.0) for item in votes)
    share = max(votes[0].weight, 0.0) / total if total > 0 else 0.0
    return Ballot(rule, votes[0].answer, share, votes)


def chain_weights(chains: Sequence[Chain], rule: str) -> Weights:
    """Compute each chain's weight under a rule.

    A chain that the ranker could not score gets the mean of its problem's scores. For `wsc` a chain without an answer
    needs no log-probability; its weight is 0 then.

    Args:
        chains: The chains of one problem.
        rule: The rule.

    Returns:
        The weights by chain index.

    Raises:
        UsageError: The rule is unknown, or the weights that it needs are missing or not finite.
    """
    if rule not in RULES:
        raise UsageError(f"unknown rule `{rule}`", "there is no rule of that name", f"rules: {', '.join(RULES)}")
    if rule == "sc":
        return {chain.index: 1.0 for chain in chains}
    if rule == "wsc":
        return {chain.index: likelihood_weight(chain) for chain in chains}
    scores = {chain.index: score_of(chain, rule) for chain in chains}
    scored = [score for score in scores.values() if score is not None]
    if not scored:
        raise UsageError(f"rule `{rule}` needs scores", "no chain has one", "train a ranker, or use --rule sc")
    if not all(abs(score) <= MAX_SCORE for score in scored):  # false for NaN too
        why = f"a score is NaN, infinite or beyond ±{MAX_SCORE:g}"
        raise UsageError(f"rule `{rule}` needs finite scores", why, "use --rule sc")
    mean = math.fsum(scored) / len(scored)
    plus, times = SCORE_WEIGHTS[rule]
    return {index: plus + times * (mean if score is None else score) for index, score in scores.items()}


def score_of(chain: Chain, rule: str) -> float | None:
    """Return the number that a rule weights a chain by: the probability for rules that add it to a constant."""
    return chain.shown_score if adds(rule) else chain.weight


def adds(rule: str) -> bool:
    """Whether a rule adds a constant to the ranker's probability."""
    return SCORE_WEIGHTS[rule][0] > 0


def applicable_rule(chains: Sequence[Chain], rule: str) -> str:
    """Return the rule, or `sc` if the rule needs scores and no chain has one."""
    return "sc" if rule in RANKER_RULES and all(chain.weight is None for chain in chains) else rule


def chains_to_overturn(chains: Sequence[Chain], ballot: Ballot) -> int | None:
    """Count how many of the winner's chains, at least, would have to change to the second answer for it to win.

    The chains with the largest weights change first; ties are broken as in `vote`.

    Returns:
        The number of chains; None if there is no second answer.
    """
    if len(ballot.votes) < 2:
        return None
    weights = chain_weights(chains, ballot.rule)
    heaviest = sorted(ballot.votes[0].chains, key=lambda index: (-weights[index], index))
    second = min(ballot.votes[1].chains)
    for count in range(1, len(heaviest) + 1):
        turned = set(heaviest[:count])
        moved = [
            dataclasses.replace(chain, answer_class=second) if chain.index in turned else chain for chain in chains
        ]
        if second in vote(moved, ballot.rule).votes[0].chains:
            return count
    raise AssertionError("unreachable: the second answer has all of the winner's chains")


def ranking_weights(chains: Sequence[Chain], ballot: Ballot) -> list[float]:
    """Return the number that each vote of a ballot was ranked by: its weight or, for `best`, its highest score."""
    if ballot.rule != "best":
        return [item.weight for item in ballot.votes]
    weights = chain_weights(chains, ballot.rule)
    return [max(weights[index] for index in item.chains) for item in ballot.votes]


def any_right(chains: Sequence[Chain]) -> bool:
    """Return whether any chain is right: an upper bound for all rules (an oracle), not a rule."""
    return any(chain.correct for chain in chains)


def winner_is_right(chains: Sequence[Chain], ballot: Ballot) -> bool:
    """Return whether the winning class is equivalent to the gold answer."""
    if not ballot.votes:
        return False
    winners = set(ballot.votes[0].chains)
    return any(chain.correct for chain in chains if chain.index in winners)


def likelihood_weight(chain: Chain) -> float:
    """Return a chain's weight under `wsc`: the one that the run's ranker has fitted, else exp(mean log-probability)."""
    return math.exp(_logprob(chain)) if chain.likelihood is None else chain.likelihood


def _logprob(chain: Chain) -> float:
    if chain.logprob is None:
        if chain.answer_class is None:
            return -math.inf
        raise UsageError(
            "rule `wsc` needs log-probabilities",
            f"chain {chain.index} has none: its engine returned none",
            "use --rule sc or --rule asc",
        )
    return chain.logprob


@contextlib.contextmanager
def name_problem_in_errors(name: str) -> Iterator[None]:
    """Add the problem's name to a UsageError raised by its vote."""
    try:
        yield
    except UsageError as error:
        line = " ".join(name.split())
        shown = line if len(line) <= MAX_NAME_CHARS else line[: MAX_NAME_CHARS - 1] + "…"
        raise UsageError(error.what, f"{error.why}; the problem is `{shown}`", error.fix) from error

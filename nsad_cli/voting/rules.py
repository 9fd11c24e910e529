"""Votes: chains with weights → a ballot. Pure functions; answer classes are given."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.types import Ballot, Chain, Vote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RULES = ("sc", "wsc", "asc", "asc-add", "best")
BY_RANKER = ("asc", "asc-add", "best")
"""Rules that need a ranker's scores."""
NAMED = 60
"""Characters of a problem in an error."""
Weights = dict[int, float]
"""A weight for each chain's index."""


def vote(chains: Sequence[Chain], rule: str) -> Ballot:
    """Hold a vote among a problem's chains.

    `sc` counts chains (self-consistency, Wang et al. 2023); `wsc` weighs a chain by exp(mean token log-probability);
    `asc` by the ranker's score, `asc-add` by 1 + score (section 3.3 of the paper); `best` takes the class of the chain
    with the highest score. A chain without an answer votes for none. Ties go to the class with the highest single
    weight (not for `sc`), then (where sums are zero, to the larger class, then) to the lowest chain index. The share is
    of all weight above zero: rankers of ours give no other, recorded scores below zero count as they stand.

    A further vote for the winner never unseats it, with one exception: a chain that the ranker could not score gets the
    mean of those that it could, so a further score moves what such chains weigh, and with it another answer may win.

    Raises UsageError where the rule's weights are missing.
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
        total = max(own) if best_rule else math.fsum(own)  # fsum: exact, so that order never matters
        size = len(own) if total == 0 and not best_rule else 0  # weights that say nothing: as `sc` counts
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
    """Each chain's weight under a rule; a chain that the ranker could not score gets its problem's mean.

    For `wsc` a chain that can vote for nothing needs no log-probability; without one its weight is 0.

    Raises UsageError where the weights that the rule needs are missing or not finite.
    """
    if rule not in RULES:
        raise UsageError(f"unknown rule `{rule}`", "votes are counted by another", f"rules: {', '.join(RULES)}")
    if rule == "sc":
        return {chain.index: 1.0 for chain in chains}
    if rule == "wsc":
        return {chain.index: math.exp(_logprob(chain)) for chain in chains}
    scored = [chain.weight for chain in chains if chain.weight is not None]
    if not scored:
        raise UsageError(f"rule `{rule}` needs scores", "no chain has one", "train a ranker, or use --rule sc")
    if not all(map(math.isfinite, scored)):
        raise UsageError(f"rule `{rule}` needs finite weights", "one is not a number or infinite", "use --rule sc")
    mean = math.fsum(scored) / len(scored)
    adjust: Callable[[float], float] = (lambda score: 1 + score) if rule == "asc-add" else (lambda score: score)
    return {chain.index: adjust(mean if chain.weight is None else chain.weight) for chain in chains}


def possible_rule(chains: Sequence[Chain], rule: str) -> str:
    """The rule, or `sc` where it needs scores and none of a problem's chains has one."""
    return "sc" if rule in BY_RANKER and all(chain.weight is None for chain in chains) else rule


def chains_to_turn(chains: Sequence[Chain], ballot: Ballot) -> int | None:
    """How near a vote was: the fewest of the winner's chains that, had they given the second answer, turn it.

    The heaviest go first; ties count as they do in the vote. None where nothing else was voted for.
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


def decisive(chains: Sequence[Chain], ballot: Ballot) -> list[float]:
    """What each of a ballot's votes was ranked by, in their order: its weight, under `best` its highest score."""
    if ballot.rule != "best":
        return [item.weight for item in ballot.votes]
    weights = chain_weights(chains, ballot.rule)
    return [max(weights[index] for index in item.chains) for item in ballot.votes]


def any_right(chains: Sequence[Chain]) -> bool:
    """Whether any chain is right: the upper bound of all rules, none to answer by."""
    return any(chain.correct for chain in chains)


def winner_is_right(chains: Sequence[Chain], ballot: Ballot) -> bool:
    """Whether the winning class holds the gold answer."""
    if not ballot.votes:
        return False
    winners = set(ballot.votes[0].chains)
    return any(chain.correct for chain in chains if chain.index in winners)


def _logprob(chain: Chain) -> float:
    if chain.logprob is None:
        if chain.answer_class is None:
            return -math.inf
        raise UsageError(
            "rule `wsc` needs log-probabilities",
            f"chain {chain.index} has none: its engine gave none",
            "use --rule sc or --rule asc",
        )
    return chain.logprob


@contextlib.contextmanager
def of_problem(name: str) -> Iterator[None]:
    """Name the problem whose vote cannot be held, in the UsageError that says so."""
    try:
        yield
    except UsageError as error:
        line = " ".join(name.split())
        shown = line if len(line) <= NAMED else line[: NAMED - 1] + "…"
        raise UsageError(error.what, f"{error.why}; the problem is `{shown}`", error.fix) from error

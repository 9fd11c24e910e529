"""The result of a problem's vote by each rule: winner, shares, margin, correctness and how close it was."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.voting.counterfactuals import with_exponent
from nsad_cli.voting.minimal_flip import smallest_flip
from nsad_cli.voting.rules import RULES, chain_weights, chains_to_overturn, vote, winner_is_right

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nsad_cli.types import Ballot, Chain

ONLY_ONE_ANSWER = "no chain has another answer"
NO_FLIP = "no removal lets another answer win"


@dataclass(frozen=True)
class RuleResult:
    """The result of a vote by one rule."""

    chains: tuple[Chain, ...]
    """The chains that took part, with the exponent applied to their weights."""
    ballot: Ballot
    classes: tuple[int, ...]
    """The answer class of each of the ballot's votes."""
    shares: tuple[float, ...]
    """Shares of all positive weight, in the ballot's order; for `best`, of the answers' highest scores."""
    right: bool | None
    """Whether the winner is the gold answer; None if that is not known."""

    @property
    def rule(self) -> str:
        """The name of the rule."""
        return self.ballot.rule

    @property
    def winner(self) -> int | None:
        """The winner's class; None if no chain has an answer."""
        return self.classes[0] if self.classes else None

    @property
    def margin(self) -> float | None:
        """The share of the first answer minus that of the second; None if no chain has an answer."""
        if not self.shares:
            return None
        return self.shares[0] - (self.shares[1] if len(self.shares) > 1 else 0.0)

    @cached_property
    def weights(self) -> dict[int, float]:
        """Each chain's weight, by chain index."""
        return chain_weights(self.chains, self.rule)

    @cached_property
    def votes_to_overturn(self) -> int | None:
        """The number of the winner's chains that would have to change to the second answer for it to win, or None."""
        return chains_to_overturn(self.chains, self.ballot)

    @cached_property
    def flip(self) -> tuple[int, ...] | str:
        """The smallest set of chains whose removal makes another answer win, or the reason why there is none."""
        if len(self.classes) < 2:
            return ONLY_ONE_ANSWER if self.classes else "no chain has an answer"
        try:
            return smallest_flip(self.chains, self.rule) or NO_FLIP
        except UsageError as error:
            return error.why


@dataclass(frozen=True, slots=True)
class VoteExplanation:
    """A problem's vote by every rule.

    Attributes:
        results: for each rule that the chains' weights allow its `ballot`, `margin`, `flip` (the smallest set of chains
            without which another answer wins) and `votes_to_overturn`.
        unavailable: for each other rule the reason.
    """

    results: Mapping[str, RuleResult]
    unavailable: Mapping[str, UsageError]

    @classmethod
    def of(cls, chains: Sequence[Chain]) -> VoteExplanation:
        """Vote by every rule."""
        found = rule_results(chains)
        results = {rule: item for rule, item in found.items() if isinstance(item, RuleResult)}
        unavailable = {rule: item for rule, item in found.items() if isinstance(item, UsageError)}
        return cls(results, unavailable)


def rule_results(
    chains: Sequence[Chain], rules: Sequence[str] = RULES, power: float = 1.0
) -> dict[str, RuleResult | UsageError]:
    """Vote by each rule.

    Args:
        chains: The chains of one problem.
        rules: The rules to apply.
        power: The exponent of the weights; see `with_exponent`.

    Returns:
        For each rule its result, or the error that says why it cannot be applied.
    """
    return {rule: _result_or_error(chains, rule, power) for rule in rules}


def rule_result(chains: Sequence[Chain], rule: str, power: float = 1.0) -> RuleResult:
    """Vote by one rule.

    Args:
        chains: The chains of one problem.
        rule: The rule to apply.
        power: The exponent of the weights; see `with_exponent`.

    Returns:
        The result.

    Raises:
        UsageError: The rule cannot be applied to these chains.
    """
    seen = tuple(with_exponent(chains, rule, power))
    ballot = vote(seen, rule)
    class_of = {chain.index: chain.answer_class for chain in seen}
    classes = tuple(found for item in ballot.votes if (found := class_of[item.chains[0]]) is not None)
    known = any(chain.correct is not None for chain in seen)
    return RuleResult(seen, ballot, classes, _shares(seen, ballot), winner_is_right(seen, ballot) if known else None)


def _result_or_error(chains: Sequence[Chain], rule: str, power: float) -> RuleResult | UsageError:
    try:
        return rule_result(chains, rule, power)
    except UsageError as error:
        return error


def _shares(chains: Sequence[Chain], ballot: Ballot) -> tuple[float, ...]:
    sizes = [vote.weight for vote in ballot.votes]
    if ballot.rule == "best" and ballot.votes:
        weights = chain_weights(chains, "best")
        sizes = [max(weights[index] for index in vote.chains) for vote in ballot.votes]
    total = sum(max(size, 0.0) for size in sizes)
    return tuple(max(size, 0.0) / total if total > 0 else 0.0 for size in sizes)

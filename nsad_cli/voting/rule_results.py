"""What each rule makes of a problem's chains: winner, shares, margin, right or wrong, how near it was."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.voting.counterfactuals import raised
from nsad_cli.voting.minimal_flip import smallest_flip
from nsad_cli.voting.rules import RULES, chain_weights, chains_to_turn, vote, winner_is_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Ballot, Chain

ALONE = "no chain states another answer"
STAYS = "no removal lets another answer win"


@dataclass(frozen=True)
class RuleResult:
    """A vote that was held."""

    chains: tuple[Chain, ...]
    """As the vote saw them: what is left of them, their weights raised."""
    ballot: Ballot
    classes: tuple[int, ...]
    """The answer class of each of the ballot's votes."""
    shares: tuple[float, ...]
    """Of all weight above zero, in the ballot's order; for `best`, of the answers' highest scores."""
    right: bool | None
    """Whether the winner is the gold answer; None where that is not known."""

    @property
    def rule(self) -> str:
        """The rule."""
        return self.ballot.rule

    @property
    def winner(self) -> int | None:
        """The winner's class; None where no chain has an answer."""
        return self.classes[0] if self.classes else None

    @property
    def margin(self) -> float | None:
        """The share of the first less that of the second; None where no chain has an answer."""
        if not self.shares:
            return None
        return self.shares[0] - (self.shares[1] if len(self.shares) > 1 else 0.0)

    @cached_property
    def weights(self) -> dict[int, float]:
        """Each chain's weight, by index."""
        return chain_weights(self.chains, self.rule)

    @cached_property
    def turn(self) -> int | None:
        """How many of the winner's chains had to say the second answer to turn it; None where it stands alone."""
        return chains_to_turn(self.chains, self.ballot)

    @cached_property
    def flip(self) -> tuple[int, ...] | str:
        """The fewest chains without which another answer wins; else the reason why there is no such set."""
        if len(self.classes) < 2:
            return ALONE if self.classes else "no chain has an answer"
        try:
            return smallest_flip(self.chains, self.rule) or STAYS
        except UsageError as error:
            return error.why


def standings(
    chains: Sequence[Chain], rules: Sequence[str] = RULES, power: float = 1.0
) -> dict[str, RuleResult | UsageError]:
    """Every rule's vote among these chains; a rule that cannot be held gives the error that says why."""
    return {rule: _standing(chains, rule, power) for rule in rules}


def standing(chains: Sequence[Chain], rule: str, power: float = 1.0) -> RuleResult:
    """One rule's vote, with weights raised to a power (see `raised`). Raises UsageError where it cannot be held."""
    seen = tuple(raised(chains, rule, power))
    ballot = vote(seen, rule)
    class_of = {chain.index: chain.answer_class for chain in seen}
    classes = tuple(found for item in ballot.votes if (found := class_of[item.chains[0]]) is not None)
    known = any(chain.correct is not None for chain in seen)
    return RuleResult(seen, ballot, classes, _shares(seen, ballot), winner_is_right(seen, ballot) if known else None)


def _standing(chains: Sequence[Chain], rule: str, power: float) -> RuleResult | UsageError:
    try:
        return standing(chains, rule, power)
    except UsageError as error:
        return error


def _shares(chains: Sequence[Chain], ballot: Ballot) -> tuple[float, ...]:
    sizes = [vote.weight for vote in ballot.votes]
    if ballot.rule == "best" and ballot.votes:
        weights = chain_weights(chains, "best")
        sizes = [max(weights[index] for index in vote.chains) for vote in ballot.votes]
    total = sum(max(size, 0.0) for size in sizes)
    return tuple(max(size, 0.0) / total if total > 0 else 0.0 for size in sizes)

"""Summaries of each problem's votes, filters over them, and the comparison of two sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.voting.rule_results import RuleResult, rule_results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.types import Chain

DEFAULT_RULES = ("sc", "wsc", "asc")
"""The rules shown side by side; the filter `disagree` compares their winners."""
SMALL_MARGIN = 0.2
"""The largest margin that counts as small, as a share of the votes."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The winner of a problem's vote by one rule."""

    answer: str | None
    answer_class: int | None
    right: bool | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class ProblemResult:
    """A summary of a problem's votes; `winners` has an entry for each rule that could be applied."""

    problem_id: str
    chains: int
    any_right: bool
    winners: dict[str, Winner]

    def winner_by(self, rule: str) -> Winner | None:
        """Return the winner by a rule, or by `sc` if the rule could not be applied (as in `nsad solve`)."""
        return self.winners.get(rule) or self.winners.get("sc")


def problem_result(problem_id: str, chains: Sequence[Chain], rules: Sequence[str]) -> ProblemResult:
    """Apply each rule and summarise the results."""
    winners = {
        rule: Winner(held.ballot.answer, held.winner, held.right, held.margin)
        for rule, held in rule_results(chains, rules).items()
        if isinstance(held, RuleResult)
    }
    return ProblemResult(problem_id, len(chains), any(chain.correct for chain in chains), winners)


@dataclass(frozen=True, slots=True)
class ProblemFilter:
    """A named condition on problems; `holds` takes a summary and the rule whose winner counts."""

    name: str
    what: str
    holds: Callable[[ProblemResult, str], bool]


def _disagree(found: ProblemResult, rule: str) -> bool:
    winners = [
        found.winners[name].answer_class for name in dict.fromkeys((*DEFAULT_RULES, rule)) if name in found.winners
    ]
    return len(set(winners)) > 1


def _gold_loses(found: ProblemResult, rule: str) -> bool:
    won = found.winner_by(rule)
    return found.any_right and won is not None and won.right is False


def _near(found: ProblemResult, rule: str) -> bool:
    won = found.winner_by(rule)
    return won is not None and won.margin is not None and won.margin <= SMALL_MARGIN


def _no_answer(found: ProblemResult, _rule: str) -> bool:
    return found.chains > 0 and all(won.answer_class is None for won in found.winners.values())


PROBLEM_FILTERS = (
    ProblemFilter("all", "all problems", lambda _found, _rule: True),
    ProblemFilter("disagree", "rules disagree", _disagree),
    ProblemFilter("gold-loses", "a right chain loses", _gold_loses),
    ProblemFilter("near", f"margin of {SMALL_MARGIN:.0%} or less", _near),
    ProblemFilter("no-answer", "no chain has an answer", _no_answer),
)


def matching_problems(queue: ProblemFilter, outcomes: Sequence[ProblemResult], rule: str) -> list[ProblemResult]:
    """Return the problems that pass a filter.

    Args:
        queue: The filter.
        outcomes: Summaries of all problems.
        rule: The rule whose winner counts.

    Returns:
        The summaries that pass, smallest margin first for the filter `near`, else in their order.
    """
    found = [item for item in outcomes if queue.holds(item, rule)]
    if queue.name == "near":
        found.sort(key=lambda item: (won.margin or 0.0) if (won := item.winner_by(rule)) else 1.0)
    return found


TRANSITIONS = {
    "all": "all that both have",
    "fixed": "wrong here, right there",
    "broke": "right here, wrong there",
    "both-right": "both right",
    "both-wrong": "both wrong",
    "unknown": "no gold answer",
}
"""How a problem's result can differ between two sides."""


def transition(here: Winner | None, there: Winner | None) -> str:
    """Classify a problem by whether each side's answer is right; return a key of TRANSITIONS."""
    if here is None or there is None or here.right is None or there.right is None:
        return "unknown"
    if here.right:
        return "both-right" if there.right else "broke"
    return "fixed" if there.right else "both-wrong"

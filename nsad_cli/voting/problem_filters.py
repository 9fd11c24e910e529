"""Which problems are worth a look: what their votes say in short, queues of them, and two sides compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.voting.rule_results import RuleResult, standings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.types import Chain

SHOWN = ("sc", "wsc", "asc")
"""The rules side by side, of which a queue tells disagreement."""
NEAR = 0.2
"""A margin at most so great is a small one."""


@dataclass(frozen=True, slots=True)
class Won:
    """What a rule made of a problem."""

    answer: str | None
    answer_class: int | None
    right: bool | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class ProblemResult:
    """A problem's votes in short; `won` holds the rules that could be held."""

    problem_id: str
    chains: int
    any_right: bool
    won: dict[str, Won]

    def by(self, rule: str) -> Won | None:
        """What the rule made of it, or `sc` where it could not be held (as `nsad solve` does)."""
        return self.won.get(rule) or self.won.get("sc")


def outcome(problem_id: str, chains: Sequence[Chain], rules: Sequence[str]) -> ProblemResult:
    """Hold the votes."""
    won = {
        rule: Won(held.ballot.answer, held.winner, held.right, held.margin)
        for rule, held in standings(chains, rules).items()
        if isinstance(held, RuleResult)
    }
    return ProblemResult(problem_id, len(chains), any(chain.correct for chain in chains), won)


@dataclass(frozen=True, slots=True)
class ProblemFilter:
    """Problems with something in common; `holds` gets an outcome and the rule that decides."""

    name: str
    what: str
    holds: Callable[[ProblemResult, str], bool]


def _disagree(found: ProblemResult, rule: str) -> bool:
    winners = [found.won[name].answer_class for name in dict.fromkeys((*SHOWN, rule)) if name in found.won]
    return len(set(winners)) > 1


def _gold_loses(found: ProblemResult, rule: str) -> bool:
    won = found.by(rule)
    return found.any_right and won is not None and won.right is False


def _near(found: ProblemResult, rule: str) -> bool:
    won = found.by(rule)
    return won is not None and won.margin is not None and won.margin <= NEAR


def _no_answer(found: ProblemResult, rule: str) -> bool:
    return found.chains > 0 and all(won.answer_class is None for won in found.won.values())


QUEUES = (
    ProblemFilter("all", "all problems", lambda found, rule: True),
    ProblemFilter("disagree", "rules disagree", _disagree),
    ProblemFilter("gold-loses", "a right chain loses", _gold_loses),
    ProblemFilter("near", f"margin of {NEAR:.0%} or less", _near),
    ProblemFilter("no-answer", "no chain has an answer", _no_answer),
)


def ordered(queue: ProblemFilter, outcomes: Sequence[ProblemResult], rule: str) -> list[ProblemResult]:
    """A queue's problems: the nearest first where it is about margins, else in their order."""
    found = [item for item in outcomes if queue.holds(item, rule)]
    if queue.name == "near":
        found.sort(key=lambda item: (won.margin or 0.0) if (won := item.by(rule)) else 1.0)
    return found


COMPARED = {
    "all": "all that both have",
    "fixed": "wrong here, right there",
    "broke": "right here, wrong there",
    "both-right": "both right",
    "both-wrong": "both wrong",
    "unknown": "no gold answer",
}
"""What can become of a problem between two sides."""


def became(here: Won | None, there: Won | None) -> str:
    """What became of a problem from one side to the other, a key of COMPARED."""
    if here is None or there is None or here.right is None or there.right is None:
        return "unknown"
    if here.right:
        return "both-right" if there.right else "broke"
    return "fixed" if there.right else "both-wrong"

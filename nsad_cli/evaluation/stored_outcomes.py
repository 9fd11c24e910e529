"""Outcomes of a model's stored chains, by rule and problem; no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.evaluation.outcomes import GREEDY, outcomes
from nsad_cli.evaluation.stored_chains import regrade, stored_chains

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.evaluation.report import Measured
    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.grading.checker import Checker
    from nsad_cli.types import Chain, Problem

Values = Mapping[str, float]
"""A value in [0, 1] by problem id; see evaluation.outcomes."""


@dataclass(frozen=True, slots=True)
class StoredOutcomes:
    """The outcomes of a model on one benchmark.

    Attributes:
        values: Each rule's values (GREEDY for greedy answers), for the problems that have the chains.
        samples: The number of chains per problem in the votes; 0 without votes.
    """

    values: Mapping[str, Values]
    samples: int

    def chains(self, rule: str) -> int:
        """Return the number of chains per problem that a rule uses."""
        return 1 if rule == GREEDY else self.samples


def stored_outcomes(side: Side, problems: Sequence[Problem], samples: int | None, checker: Checker) -> StoredOutcomes:
    """Grade a model's stored chains on a benchmark; see evaluated_chains for the arguments and errors.

    Returns:
        The outcomes; no values if no problem has been evaluated.
    """
    graded, used = evaluated_chains(side, problems, samples, checker)
    values: dict[str, Values] = {}
    for place in (0, 1):
        found = {key: chains[place] for key, chains in graded.items() if chains[place]}
        own = list(found.values())
        none: list[list[Chain]] = [[] for _ in own]
        by_rule = outcomes(own, none) if place == 0 else outcomes(none, own)
        values |= {rule: dict(zip(found, of_rule, strict=True)) for rule, of_rule in by_rule.items()}
    return StoredOutcomes(values, used if len(values) > 1 else 0)


def evaluated_chains(
    side: Side, problems: Sequence[Problem], samples: int | None, checker: Checker, ranker: str | None = None
) -> tuple[Measured, int]:
    """Read and grade a model's stored chains for the problems with a greedy chain: others were not evaluated.

    Args:
        side: The model.
        problems: The benchmark's problems.
        samples: The number of sampled chains per problem; None for as many as every evaluated problem has that has
            any. Problems with fewer get none.
        checker: The checker that grades the chains.
        ranker: The ranker whose scores are read; None for the run's current one.

    Returns:
        The chains by problem id, and the number of sampled chains per problem.

    Raises:
        NsadError: The run has not trained the model.
    """
    measured = stored_chains(side, problems, ranker)
    evaluated = [problem for problem in problems if measured[problem.id][0]]
    counts = [len(measured[problem.id][1]) for problem in evaluated]
    used = min(filter(None, counts), default=0) if samples is None else samples
    return regrade(measured, evaluated, used, checker), used

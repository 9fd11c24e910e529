"""Paired comparison of two models on the same problems: difference, confidence intervals and McNemar's test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.evaluation.exclusions import find_exclusions
from nsad_cli.evaluation.outcomes import GREEDY, estimated, outcomes
from nsad_cli.evaluation.stored_chains import Side, regrade, stored_chains
from nsad_cli.utils.statistics import mcnemar, newcombe, paired_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.evaluation.report import Measured, Row
    from nsad_cli.grading.checker import Checker
    from nsad_cli.types import Problem


def compare(
    benchmark: str,
    problems: Sequence[Problem],
    sides: tuple[Side, Side],
    samples: int | None,
    checker: Checker,
    how: str,
) -> tuple[list[Row], list[Row]]:
    """Compare two models from their stored chains.

    The comparison uses the problems for which both have a greedy chain; if there are none, all problems.

    Args:
        benchmark: The benchmark's label.
        problems: Its problems.
        sides: The two models.
        samples: The number of chains per problem for the votes; None for as many as every problem has of both models.
        checker: The checker that grades the chains.
        how: Further options of the command that would evaluate a model, for messages.

    Returns:
        The rows of `comparison` and of `left_out` in `nsad eval --compare A B --json`.

    Raises:
        NsadError: A run has not trained its model.
    """
    stored = [stored_chains(side, problems) for side in sides]
    evaluated = [p for p in problems if all(measured[p.id][0] for measured in stored)] or problems
    counts = [min(len(measured[p.id][1]) for measured in stored) for p in evaluated]
    used = min(filter(None, counts), default=0) if samples is None else samples
    a, b = (regrade(measured, evaluated, used, checker) for measured in stored)
    excluded = find_exclusions(sides, stored, [problem.id for problem in evaluated], samples, used, how)
    return (
        comparison_rows(benchmark, evaluated, a, b),
        [{"benchmark": benchmark, "what": what, "why": why} for what, why in excluded],
    )


def comparison_rows(benchmark: str, problems: Sequence[Problem], a: Measured, b: Measured) -> list[Row]:
    """Build a row for greedy answers and for each rule that applies to both models.

    Greedy answers and votes are each compared on the problems for which both models have them.

    Args:
        benchmark: The benchmark's label.
        problems: Its problems.
        a: The first model's chains.
        b: The second model's chains.

    Returns:
        Rows as in `nsad eval --compare A B --json`. a, b: accuracies. difference: b − a, with Newcombe's interval
        (ci95) and the paired bootstrap's (bootstrap95). only_a, only_b: the number of problems that only one model
        has right. p: McNemar's exact p. The last three are null for estimates (mean, pass@k), which are not right or
        wrong per problem.
    """
    rows = []
    for place in (0, 1):
        both = [p.id for p in problems if a.get(p.id, ([], []))[place] and b.get(p.id, ([], []))[place]]
        first, second = ([side[key][place] for key in both] for side in (a, b))
        empty: list[Any] = [[]] * len(both)
        groups = [(side, empty) if place == 0 else (empty, side) for side in (first, second)]
        found, other = (outcomes(*pair) for pair in groups)
        for rule in (rule for rule in found if rule in other):
            samples = max(map(len, first), default=0)
            rows.append({"benchmark": benchmark, **_row(rule, found[rule], other[rule], samples)})
    return rows


def only_one_right(a: Sequence[float], b: Sequence[float]) -> tuple[int, int]:
    """Count the problems that only the first, and only the second, of two systems has right."""
    pairs = list(zip(a, b, strict=True))
    return pairs.count((1.0, 0.0)), pairs.count((0.0, 1.0))


def _row(rule: str, a: Sequence[float], b: Sequence[float], samples: int) -> Row:
    only_a, only_b = only_one_right(a, b)
    counted = not estimated(rule)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    return {
        "rule": None if rule == GREEDY else rule,
        "n": len(a),
        "samples": samples,
        "a": mean_a,
        "b": mean_b,
        "difference": mean_b - mean_a,
        "ci95": list(newcombe(a, b)),
        "bootstrap95": list(paired_bootstrap(a, b)),
        "only_a": only_a if counted else None,
        "only_b": only_b if counted else None,
        "p": mcnemar(only_a, only_b) if counted else None,
    }

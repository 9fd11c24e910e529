"""Two models on the same problems: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.evaluation.exclusions import left_out
from nsad_cli.evaluation.outcomes import GREEDY, estimated, outcomes
from nsad_cli.evaluation.stored_chains import Side, judged, stored_chains
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
    """The rows of `comparison` and of `left_out` in `nsad eval --compare A B --json`, from what both runs have kept.

    What counts are the problems that both have evaluated, that is answered greedily; where there are none, those that
    both have sampled. Without `samples` votes are held over as many chains as every such problem has of both. how:
    further options of the command that measures. Raises NsadError where a run has not trained its model.
    """
    stored = [stored_chains(side, problems) for side in sides]
    asked = [p for p in problems if all(measured[p.id][0] for measured in stored)] or problems
    counts = [min(len(measured[p.id][1]) for measured in stored) for p in asked]
    used = min(filter(None, counts), default=0) if samples is None else samples
    a, b = (judged(measured, asked, used, checker) for measured in stored)
    left = left_out(sides, stored, [problem.id for problem in asked], samples, used, how)
    return (
        comparison_rows(benchmark, asked, a, b),
        [{"benchmark": benchmark, "what": what, "why": why} for what, why in left],
    )


def comparison_rows(benchmark: str, problems: Sequence[Problem], a: Measured, b: Measured) -> list[Row]:
    """A row for greedy answers and each rule that both allow, as in `nsad eval --compare A B --json`.

    Greedy answers and votes are each compared on the problems for which both have them. a, b: accuracies; difference:
    b − a, with Newcombe's interval (ci95) and the paired bootstrap's (bootstrap95); only_a and only_b: problems that
    the one has right and the other wrong, with McNemar's exact p: these three are null for estimates (mean, pass@k),
    which are not right or wrong.
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


def _row(rule: str, a: Sequence[float], b: Sequence[float], samples: int) -> Row:
    pairs = list(zip(a, b, strict=True))
    only_a, only_b = (sum(pair == which for pair in pairs) for which in ((1.0, 0.0), (0.0, 1.0)))
    counted = not estimated(rule)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    return {
        "rule": None if rule == GREEDY else rule,
        "n": len(pairs),
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

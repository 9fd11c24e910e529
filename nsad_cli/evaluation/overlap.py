"""The overlap of the problems that two models solve, by subject or level: both, either, and their ratio (IoU)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.evaluation.grouping import grouped
from nsad_cli.evaluation.outcomes import GREEDY
from nsad_cli.utils.statistics import mcnemar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.evaluation.grouping import Grouping
    from nsad_cli.evaluation.stored_outcomes import Values
    from nsad_cli.types import Problem


def overlap_rows(
    benchmark: str, problems: Sequence[Problem], rule: str, a: Values, b: Values, by: Grouping | None
) -> list[dict[str, Any]]:
    """Count the problems that two models solve, on those that both have answered.

    Args:
        benchmark: The benchmark's label.
        problems: Its problems.
        rule: The rule of the answers, or GREEDY.
        a: The first model's values, 1 for a solved problem.
        b: The second model's values.
        by: What divides the problems; None for the total alone.

    Returns:
        A row for each group, the total last: `benchmark`, `rule` (null for greedy answers), `by`, `group` (null for
        the total), `n`, `a`, `b`, `both`, `either`, `iou` (both ÷ either; null if no problem is solved), `only_a`,
        `only_b`, and `p`, McNemar's exact test that both are equally accurate. No row if there is no such problem.
    """
    common = [problem for problem in problems if problem.id in a and problem.id in b]
    first = {"benchmark": benchmark, "rule": None if rule == GREEDY else rule}
    return [
        {**first, "by": by, "group": name, **_counts([(bool(a[item.id]), bool(b[item.id])) for item in members])}
        for name, members in grouped(common, by)
    ]


def _counts(pairs: Sequence[tuple[bool, bool]]) -> dict[str, Any]:
    both, only_a, only_b = (pairs.count(which) for which in ((True, True), (True, False), (False, True)))
    either = both + only_a + only_b
    return {
        "n": len(pairs),
        "a": both + only_a,
        "b": both + only_b,
        "both": both,
        "either": either,
        "iou": both / either if either else None,
        "only_a": only_a,
        "only_b": only_b,
        "p": mcnemar(only_a, only_b),
    }

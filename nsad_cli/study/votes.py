"""The votes of an arm over its seeds: each rule against the count of the same chains, and the rankers' measurements."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from nsad_cli.evaluation.outcomes import ANY, GREEDY
from nsad_cli.study.statistics import compare_seeds
from nsad_cli.voting.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COUNT = RULES[0]
"""The rule that the others are compared with: sc."""
Row = dict[str, Any]
Outcomes = dict[tuple[str, str], float]
"""A value in [0, 1] for each problem, by its benchmark's label and its id: 1 right, 0 wrong."""


def vote_rows(seeds: Sequence[Mapping[str, Outcomes]]) -> list[Row]:
    """Compare an arm's rules with the count of votes, over its seeds, on the problems that all seeds have evaluated.

    Args:
        seeds: The outcomes of each seed by rule.

    Returns:
        A row for greedy answers, each rule and `any` (a right chain exists: the bound of every vote), without the
        rules that some seed lacks; none if no chains were sampled. `rule` (null for greedy answers), `n`, `accuracy`,
        `by_seed`, and for all but `any` and `sc` the difference to `sc`: `difference`, `ci95`, `p` (clustered by
        problem, see compare_seeds), and for votes `gap_closed`, the difference as a share of the one between `any`
        and `sc`.
    """
    if not seeds or any(COUNT not in rules for rules in seeds):
        return []
    common = [problem for problem in seeds[0][COUNT] if all(problem in rules[COUNT] for rules in seeds)]
    values = {
        rule: [[rules[rule][problem] for problem in common] for rules in seeds]
        for rule in (GREEDY, *RULES, ANY)
        if common and all(rule in rules for rules in seeds)
    }
    bound = _mean(values[ANY]) - _mean(values[COUNT]) if values else 0.0
    return [_row(rule, own, values[COUNT], bound) for rule, own in values.items()]


def _row(rule: str, own: Sequence[list[float]], count: Sequence[list[float]], bound: float) -> Row:
    row: Row = {
        "rule": None if rule == GREEDY else rule,
        "n": len(own[0]),
        "accuracy": _mean(own),
        "by_seed": [fmean(values) for values in own],
        **dict.fromkeys(("difference", "ci95", "p", "gap_closed")),
    }
    if rule in (COUNT, ANY):
        return row
    compared = compare_seeds(count, own)
    closed = compared["difference"] / bound if rule != GREEDY and bound > 0 else None
    return {**row, **{key: compared[key] for key in ("difference", "ci95", "p")}, "gap_closed": closed}


def ranker_row(result: Mapping[str, Any]) -> Row:
    """Return how well a cell's ranker ranks, from its stage's result; what is unknown is null."""
    ranking = result.get("ranking") or {}
    pairs = (ranking.get("measured") or {}).get("pair_accuracy") or {}
    return {
        "kind": result.get("kind"),
        "pair_accuracy": pairs.get("value"),
        "pairs": pairs.get("pairs"),
        "refused": ranking.get("refused"),
    }


def _mean(values: Sequence[Sequence[float]]) -> float:
    return fmean(fmean(of_seed) for of_seed in values)

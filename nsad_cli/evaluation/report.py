"""Rows of an evaluation report: accuracy under every rule, by subject and level, and simulated early stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.config.prompts import FEW_SHOT
from nsad_cli.evaluation.outcomes import GREEDY, Outcomes, estimated, outcomes, rules_for
from nsad_cli.types import Chain, Finish, Problem
from nsad_cli.utils.statistics import wilson
from nsad_cli.voting.early_stopping import STOPPABLE, simulate_early_stop
from nsad_cli.voting.rules import RANKER_RULES, applicable_rule

if TYPE_CHECKING:
    from collections.abc import Sequence

Measured = dict[str, tuple[list[Chain], list[Chain]]]
"""For each problem id its (greedy, sampled) chains."""
Row = dict[str, Any]
STOP_AT = 0.95
"""The default probability of `nsad eval` for simulated early stopping."""


def report_on(
    benchmark: str,
    model: str,
    problems: Sequence[Problem],
    chains: Measured,
    stop_at: float = STOP_AT,
    wave: int = 1,
    *,
    refused: str | None = None,
) -> dict[str, list[Row]]:
    """Build the lists of `nsad eval --json` for one model on one benchmark.

    Args:
        benchmark: The benchmark's label.
        model: The model's name.
        problems: The problems.
        chains: Their chains.
        stop_at: The probability at which simulated early stopping stops.
        wave: The number of chains sampled at once in the simulation.
        refused: Why the ranker must not weight votes; the rows of its rules then say so in `ranker_refused`.

    Returns:
        `results` (see result_rows), `groups` (see group_rows) and `stopping` (see stopping_rows).
    """
    greedy = [chains[problem.id][0] for problem in problems]
    sampled = [chains[problem.id][1] for problem in problems]
    found = outcomes(greedy, sampled)
    results = result_rows(benchmark, model, found, greedy, sampled)
    if refused is not None:
        results = [{**row, "ranker_refused": refused} if row["rule"] in RANKER_RULES else row for row in results]
    return {
        "results": results,
        "groups": group_rows(benchmark, model, problems, found),
        "stopping": stopping_rows(benchmark, model, sampled, stop_at, wave),
    }


def result_rows(
    benchmark: str, model: str, found: Outcomes, greedy: Sequence[Sequence[Chain]], sampled: Sequence[Sequence[Chain]]
) -> list[Row]:
    """Build a row for greedy answers and one for each rule, as in `results` of `nsad eval --json`.

    accuracy and ci95 are fractions of problems, unanswered and truncated fractions of chains; tokens is the sum over
    chains. method is greedy, vote, samples (the mean over chains, pass@k), or few-shot for every row of that model;
    rule is null for greedy answers.
    """
    rows = []
    for rule, values in found.items():
        groups = greedy if rule == GREEDY else sampled
        flat = [chain for group in groups for chain in group]
        kind = GREEDY if rule == GREEDY else "samples" if estimated(rule) else "vote"
        rows.append(
            {
                "benchmark": benchmark,
                "model": model,
                "method": FEW_SHOT if model == FEW_SHOT else kind,
                "rule": None if rule == GREEDY else rule,
                "n": len(values),
                "samples": max(map(len, groups), default=0),
                **_share(values),
                "unanswered": sum(chain.answer is None for chain in flat) / max(len(flat), 1),
                "truncated": sum(chain.finish is Finish.LENGTH for chain in flat) / max(len(flat), 1),
                "tokens": _tokens(flat),
            }
        )
    return rows


def group_rows(benchmark: str, model: str, problems: Sequence[Problem], found: Outcomes) -> list[Row]:
    """Build rows of accuracy by subject and by level, if a benchmark has several; rule is null for greedy answers."""
    rows = []
    for by in ("subject", "level"):
        names = [getattr(problem, by) for problem in problems]
        for name in sorted(set(names)) if len(set(names)) > 1 else ():
            for rule, values in found.items():
                mine = [value for value, other in zip(values, names, strict=True) if other == name]
                rows.append(
                    {
                        "benchmark": benchmark,
                        "model": model,
                        "rule": None if rule == GREEDY else rule,
                        "by": by,
                        "group": name,
                        "n": len(mine),
                        **_share(mine),
                    }
                )
    return rows


def stopping_rows(
    benchmark: str, model: str, sampled: Sequence[Sequence[Chain]], stop_at: float, wave: int
) -> list[Row]:
    """Simulate early stopping on the same chains, in their order; a row for each rule that supports it.

    same is the fraction of problems with the same answer as from all chains; chains and tokens count what would have
    been sampled, of_chains and of_tokens all of them.
    """
    rows = []
    for rule in [rule for rule in rules_for(sampled) if rule in STOPPABLE] if any(sampled) else ():
        found = [simulate_early_stop(group, stop_at, wave, applicable_rule(group, rule)) for group in sampled]
        first = [chain for group, item in zip(sampled, found, strict=True) for chain in group[: item.drawn]]
        flat = [chain for group in sampled for chain in group]
        rows.append(
            {
                "benchmark": benchmark,
                "model": model,
                "rule": rule,
                "stop_at": stop_at,
                "wave": wave,
                "n": len(sampled),
                **_share([float(item.right) for item in found]),
                "same": sum(item.same for item in found) / max(len(sampled), 1),
                "chains": len(first),
                "of_chains": len(flat),
                "tokens": _tokens(first),
                "of_tokens": _tokens(flat),
            }
        )
    return rows


def _tokens(chains: Sequence[Chain]) -> int:
    return sum(len(chain.logprobs) for chain in chains)


def _share(values: Sequence[float]) -> Row:
    total = sum(values)
    return {"accuracy": total / max(len(values), 1), "ci95": list(wilson(total, len(values)))}

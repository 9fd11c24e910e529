"""Ablation of the weights of votes: one table of scores, weights and rules on the same stored chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.evaluation.compare import only_one_right
from nsad_cli.evaluation.outcomes import ANY, is_scored, rules_for
from nsad_cli.evaluation.stored_outcomes import evaluated_chains
from nsad_cli.evaluation.vote_variants import LOGPROB, STEP_CHECKS, RankerScores, Variant, ranker_scores, variants
from nsad_cli.rankers.measurement import measure
from nsad_cli.utils.statistics import mcnemar, newcombe, wilson
from nsad_cli.voting.rules import any_right, applicable_rule, vote, winner_is_right

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.grading.checker import Checker
    from nsad_cli.types import Chain, Problem

    Groups = list[list[Chain]]


def weight_rows(
    benchmark: str, problems: Sequence[Problem], side: Side, samples: int | None, checker: Checker
) -> dict[str, list[dict[str, Any]]]:
    """Vote on a model's stored chains by every rule and every way to weight them; no model is loaded.

    Args:
        benchmark: The benchmark's label.
        problems: Its problems.
        side: The model.
        samples: The number of chains per problem; None for as many as every evaluated problem has that has any.
        checker: The checker that grades the chains.

    Returns:
        `weights`: a row for each score, weights and rule, with `n`, `samples`, `accuracy`, `ci95` and, except for `sc`
        and the bound `any`, the paired comparison with `sc`: `difference`, `difference_ci95` (Newcombe), `won`, `lost`,
        `p` (McNemar). `ranking`: how well each score ranks a problem's right chains above its wrong ones (`score`,
        `pair_accuracy`, `auc`). `left_out`: why rows are missing, or must not be used. Empty lists without chains.

    Raises:
        NsadError: The run has not trained the model.
    """
    groups, stored, missing = _scored_chains(problems, side, samples, checker)
    if not groups:
        return {"weights": [], "ranking": [], "left_out": []}
    first = {"benchmark": benchmark, "run": side.run.name, "model": side.model}
    has_logprobs = "wsc" in rules_for(groups)
    counted = [_right(group, "sc") for group in groups]
    rows = []
    for variant in variants(stored, has_logprobs):
        rescored = [[chain.scored(variant.rescore(chain)) for chain in group] for group in groups]
        values = [_right(group, variant.rule) for group in rescored]
        rows.append({**first, **_row(variant, values, counted), "samples": len(groups[0])})
    reasons = [] if has_logprobs else [f"no log-probabilities of {side.name}: the engine returned none"]
    reasons += [missing] if missing else []
    if stored is not None and stored.scoring.refused:
        reasons.append(f"the ranker is refused, votes do not use its weights: {stored.scoring.refused}")
    return {
        "weights": rows,
        "ranking": [{**first, **row} for row in _ranking(groups, stored)],
        "left_out": [{"benchmark": benchmark, "why": why} for why in reasons],
    }


def _scored_chains(
    problems: Sequence[Problem], side: Side, samples: int | None, checker: Checker
) -> tuple[Groups, RankerScores | None, str]:
    """Read each problem's graded chains with a ranker's scores if all have them; else say why there are none."""
    known = ranker_scores(side)
    groups, most = _groups(problems, side, samples, checker, None), 0
    for stored in known:
        if stored.needs_no_store:
            return groups, stored, ""
        found = groups if stored is known[0] else _groups(problems, side, samples, checker, stored.ranker)
        scored = sum(is_scored(group) and any(chain.weight is not None for chain in group) for group in found)
        if found and scored == len(found):
            return found, stored, ""
        most = max(most, scored)
    if not known:
        return groups, None, f"{side.run.name} has no ranker that scores its current {side.model}"
    command = side.command(len(groups[0]) if groups else None)
    count = f"{most} of {len(groups)} problems of {side.name}"
    return groups, None, f"{known[0].ranker} has scored {count}; `{command}` scores them"


def _groups(
    problems: Sequence[Problem], side: Side, samples: int | None, checker: Checker, ranker: str | None
) -> Groups:
    graded, _ = evaluated_chains(side, problems, samples, checker, ranker)
    return [sampled for _, sampled in graded.values() if sampled]


def _right(group: Sequence[Chain], rule: str) -> float:
    right = any_right(group) if rule == ANY else winner_is_right(group, vote(group, applicable_rule(group, rule)))
    return float(right)


def _row(variant: Variant, values: Sequence[float], counted: Sequence[float]) -> dict[str, Any]:
    n = len(values)
    row: dict[str, Any] = {
        "score": variant.score,
        "weights": variant.weights,
        "rule": variant.rule,
        "n": n,
        "accuracy": sum(values) / n,
        "ci95": list(wilson(sum(values), n)),
        **dict.fromkeys(("difference", "difference_ci95", "won", "lost", "p")),
    }
    if variant.rule in ("sc", ANY):
        return row
    lost, won = only_one_right(counted, values)
    return {
        **row,
        "difference": (sum(values) - sum(counted)) / n,
        "difference_ci95": list(newcombe(counted, values)),
        "won": won,
        "lost": lost,
        "p": mcnemar(lost, won),
    }


def _ranking(groups: Groups, stored: RankerScores | None) -> Iterator[dict[str, Any]]:
    """Measure how well each score ranks; an empty chain, which no ranker scores, counts as 0.5."""
    scores = [[0.5 if chain.shown_score is None else chain.shown_score for chain in group] for group in groups]
    measured = measure(groups, scores)
    if stored is not None and not stored.needs_no_store:
        yield {"score": stored.name, "pair_accuracy": measured["pair_accuracy"], "auc": measured["auc"]}
    for name, key in ((LOGPROB, "logprob"), (STEP_CHECKS, "steps")):
        yield {"score": name, **measured["free"][key]}

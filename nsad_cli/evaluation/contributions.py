"""What each step of the method adds, on the same problems: a paired test between a step and the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.stages import NAT, NCE, UNTRAINED
from nsad_cli.evaluation.compare import only_one_right
from nsad_cli.evaluation.outcomes import GREEDY, outcomes
from nsad_cli.evaluation.stored_chains import Side, regrade, stored_chains
from nsad_cli.runs.models import has_model
from nsad_cli.utils.statistics import mcnemar, newcombe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.grading.checker import Checker
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the method: what it adds, and the answers that it leads to (a model's, by a rule or greedy)."""

    name: str
    model: str
    rule: str


STEPS = (
    Step("untrained student", UNTRAINED[0], GREEDY),
    Step("NAT: right rationales, beside the negative adapter", NAT.name, GREEDY),
    Step("NCE: distilled into a plain LoRA", NCE.name, GREEDY),
    Step("votes: self-consistency", NCE.name, "sc"),
    Step("ASC: votes weighted by the ranker", NCE.name, "asc"),
)


def contributions(
    run: Run, problems: Sequence[Problem], samples: int, checker: Checker, steps: Sequence[Step] = STEPS
) -> list[dict[str, Any]]:
    """Compare each step with the one before it, from stored chains.

    Args:
        run: The run, with the evaluations of its models.
        problems: The evaluated problems.
        samples: The number of chains of a vote.
        checker: The checker that grades the chains.
        steps: The steps; one that the run has not evaluated is left out.

    Returns:
        A row for each step: `step`, `model`, `rule`, `n`, `accuracy`. All but the first also have `before` (the
        accuracy of the step before), `difference` with `ci95` (Newcombe), `won` and `lost` (problems that only one of
        them has right) and `p` (McNemar's exact test).
    """
    found: dict[str, dict[str, list[float]]] = {}
    for model in dict.fromkeys(step.model for step in steps if step.model in UNTRAINED or has_model(run, step.model)):
        measured = stored_chains(Side(run, model, parse_engine(run.recipe.evaluation_engine)), problems)
        measured = regrade(measured, problems, samples, checker)
        greedy, sampled = ([measured[problem.id][place] for problem in problems] for place in (0, 1))
        if all(greedy):
            complete = sampled if all(sampled) else [[] for _ in sampled]
            found[model] = outcomes(greedy, complete)
    rows: list[dict[str, Any]] = []
    before: list[float] | None = None
    for step in steps:
        values = found.get(step.model, {}).get(step.rule)
        if values is None:
            continue
        row = {"step": step.name, "model": step.model, "rule": None if step.rule == GREEDY else step.rule}
        rows.append({**row, "n": len(values), "accuracy": sum(values) / len(values), **_against(before, values)})
        before = values
    return rows


def _against(before: Sequence[float] | None, values: Sequence[float]) -> dict[str, Any]:
    if before is None:
        return {}
    lost, won = only_one_right(before, values)
    mean, old = sum(values) / len(values), sum(before) / len(before)
    return {
        "before": old,
        "difference": mean - old,
        "ci95": list(newcombe(before, values)),
        "won": won,
        "lost": lost,
        "p": mcnemar(lost, won),
    }

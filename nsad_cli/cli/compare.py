"""`nsad eval --compare A B`: two runs, or two models of one, on the problems that both have measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.output import out, print_json, say

if TYPE_CHECKING:
    from nsad_cli.runs import Run


def compare_runs(
    names: tuple[str, str],
    specs: Sequence[str] | None,
    limit: int | None,
    samples: int | None,
    engine: str,
    as_json: bool,
) -> None:
    """Compare what `nsad eval` has kept; without `specs` on the benchmarks of both recipes."""
    from nsad_cli.errors import NsadError, UsageError

    sides = [_side(name) for name in names]
    labels = [f"{run.name}:{model}" for run, model in sides]
    if labels[0] == labels[1]:
        raise UsageError(
            f"{labels[0]} is compared with itself",
            "both names mean the same model of the same run",
            f"name another, for example --compare {labels[0]} {sides[0][0].name}:base",
        )
    specs = specs or list(dict.fromkeys(spec for run, _ in sides for spec in run.recipe.evaluation.benchmarks))
    if not specs:
        raise UsageError("no benchmark is named", "the runs' recipes have none", "give --problems NAME[:SPLIT][@PATH]")
    k = min(run.recipe.evaluation.samples for run, _ in sides) if samples is None else samples
    rows = [row for spec in specs for row in _compared(sides, spec, limit, k, engine)]
    if not rows:
        raise NsadError(
            f"{labels[0]} and {labels[1]} have measured no problem in common",
            "their stores hold no chains of both for these problems, settings and weights",
            " and ".join(f"`nsad eval --run {run.name} --model {model}`" for run, model in sides) + " measure them",
        )
    if as_json:
        print_json({"a": labels[0], "b": labels[1], "comparison": rows})
        return
    from nsad_cli.cli.result_tables import comparison_tables

    for table in comparison_tables(rows, *labels):
        out().print(table)


def _side(name: str) -> tuple[Run, str]:
    """RUN or RUN:MODEL; without a model the best one that the run has."""
    from nsad_cli.config import MODELS
    from nsad_cli.errors import UsageError
    from nsad_cli.models import best_model, need_model
    from nsad_cli.runs import Run

    run_name, _, model = name.partition(":")
    run = Run.open(run_name)
    if model and model not in MODELS:
        raise UsageError(f"unknown model `{model}`", f"`{name}` is RUN:MODEL", f"models: {', '.join(MODELS)}")
    model = model or best_model(run)
    need_model(run, model)
    return run, model


def _compared(
    sides: Sequence[tuple[Run, str]], spec: str, limit: int | None, samples: int, engine: str
) -> list[dict[str, Any]]:
    from nsad_cli.answers.checker import Checker
    from nsad_cli.evaluation.compare import comparison_rows
    from nsad_cli.evaluation.measure import load_benchmarks
    from nsad_cli.evaluation.stored import stored_chains

    ((label, problems),) = load_benchmarks(sides[0][0], [spec], limit, say)
    if sides[1][0].name != sides[0][0].name:  # what either run was trained on is left out for both
        ((_, others),) = load_benchmarks(sides[1][0], [spec], limit, say)
        known = {problem.id for problem in others}
        problems = [problem for problem in problems if problem.id in known]
    with Checker() as checker:
        a, b = (stored_chains(run, model, problems, samples, checker, engine) for run, model in sides)
    return comparison_rows(label, problems, a, b)

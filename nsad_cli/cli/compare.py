"""`nsad eval --compare A B`: two runs, or two models of one, on the problems that both have measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import out, print_json
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.evaluation.stored_chains import Side

Rows = list[dict[str, Any]]


def compare_runs(
    names: tuple[str, str],
    specs: Sequence[str] | None,
    limit: int | None,
    samples: int | None,
    engine: str,
    as_json: bool,
) -> None:
    """Compare what `nsad eval` has kept; without `specs` on the benchmarks of both recipes.

    engine: of a side that names none.
    """
    from nsad_cli.errors import NsadError, UsageError

    a, b = (_side(name, engine) for name in names)
    if a.name == b.name:
        other = "base" if a.model != "base" else "few-shot"
        raise UsageError(
            f"{a.name} is compared with itself",
            "both names mean the same model of the same run",
            f"name another, for example --compare {a.name} {a.run.name}:{other}",
        )
    how = " ".join([f"--problems {spec}" for spec in specs or ()] + ([] if limit is None else [f"--limit {limit}"]))
    specs = specs or list(dict.fromkeys(spec for side in (a, b) for spec in side.run.recipe.evaluation.benchmarks))
    if not specs:
        raise UsageError("no benchmark is named", "the runs' recipes have none", "give --problems NAME[:SPLIT][@PATH]")
    rows: Rows = []
    left: Rows = []
    for spec in specs:
        compared = _compared((a, b), spec, limit, samples, how)
        rows, left = rows + compared[0], left + compared[1]
    if not rows:
        kept = {f"{side.run.name}:{side.model}": ", ".join(side.engines()) or "none" for side in (a, b)}
        raise NsadError(
            f"{a.name} and {b.name} have measured no problem in common",
            "their stores hold no chains of both for these problems, settings and weights; what they hold is by "
            + ", ".join(f"{engines} ({name})" for name, engines in kept.items()),
            " and ".join(f"`{side.command(samples, how)}`" for side in (a, b)) + " measure them",
        )
    for item in left:
        note(f"{item['benchmark']}: {', '.join(item['what'])} left out: {item['why']}")
    if as_json:
        print_json({"a": a.name, "b": b.name, "comparison": rows, "left_out": left})
        return
    from nsad_cli.cli.render.evaluation import comparison_tables

    for table in comparison_tables(rows, a.name, b.name):
        out().print(table)


def _side(name: str, engine: str) -> Side:
    """RUN[:MODEL][@ENGINE]; without a model the best one that the run has."""
    from nsad_cli.config.stages import models as known_models
    from nsad_cli.errors import UsageError
    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.generation.engine_spec import parse_engine
    from nsad_cli.runs.models import best_model, require_model
    from nsad_cli.runs.run import Run

    what, at, own = name.partition("@")
    run_name, _, model = what.partition(":")
    sampled_by = parse_engine(own if at else engine, reached=False)
    run = Run.open(run_name)
    if model and model not in known_models():
        raise UsageError(f"unknown model `{model}`", f"`{what}` is RUN:MODEL", f"models: {', '.join(known_models())}")
    model = model or best_model(run)
    require_model(run, model)
    return Side(run, model, sampled_by)


def _compared(
    sides: tuple[Side, Side], spec: str, limit: int | None, samples: int | None, how: str
) -> tuple[Rows, Rows]:
    from nsad_cli.evaluation.compare import compare
    from nsad_cli.evaluation.measure import load_benchmarks
    from nsad_cli.grading.checker import Checker

    a, b = (side.run for side in sides)
    ((label, problems),) = load_benchmarks(a, [spec], limit)
    if b.name != a.name:  # what either run was trained on is left out for both
        ((_, others),) = load_benchmarks(b, [spec], limit)
        known = {problem.id for problem in others}
        problems = [problem for problem in problems if problem.id in known]
    with Checker() as checker:
        return compare(label, problems, sides, samples, checker, how)

"""`nsad eval --compare A B`: compare two runs, or two models of a run, on the problems that both have evaluated."""

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
    engine: str | None,
    as_json: bool,
) -> None:
    """Compare two models by the chains that `nsad eval` has stored, and print a table for each benchmark.

    Args:
        names: The two models, each RUN[:MODEL][@ENGINE].
        specs: The benchmarks; without them, those of both recipes.
        limit: The number of problems of each benchmark, from its start; None for all.
        samples: The number of chains per problem for the votes; None for as many as both have.
        engine: The engine of a name without @ENGINE; None for its run's.
        as_json: Whether to print one JSON object instead of tables.

    Raises:
        UsageError: Both names mean the same model, or no benchmark is named.
        NsadError: The two have no evaluated problem in common.
    """
    from nsad_cli.errors import NsadError, UsageError
    from nsad_cli.evaluation.across_runs import Arm, size_row

    a, b = (parse_side(name, engine) for name in names)
    if a.name == b.name:
        other = "base" if a.model != "base" else "few-shot"
        raise UsageError(
            f"cannot compare {a.name} with itself",
            "both names mean the same model of the same run",
            f"name another one, for example --compare {a.name} {a.run.name}:{other}",
        )
    how = " ".join([f"--problems {spec}" for spec in specs or ()] + ([] if limit is None else [f"--limit {limit}"]))
    specs = specs or list(dict.fromkeys(spec for side in (a, b) for spec in side.run.recipe.evaluation.benchmarks))
    if not specs:
        raise UsageError("no benchmark given", "the runs' recipes have none", "give --problems NAME[:SPLIT][@PATH]")
    rows: Rows = []
    excluded: Rows = []
    for spec in specs:
        compared = compare_pair((a, b), spec, limit, samples, how)
        rows, excluded = rows + compared[0], excluded + compared[1]
    if not rows:
        stored = {f"{side.run.name}:{side.model}": ", ".join(side.engines()) or "none" for side in (a, b)}
        raise NsadError(
            f"{a.name} and {b.name} have evaluated no problem in common",
            "their stores have no chains of both for these problems, settings and weights; stored chains are by "
            + ", ".join(f"{engines} ({name})" for name, engines in stored.items()),
            "evaluate them with " + " and ".join(f"`{side.command(samples, how)}`" for side in (a, b)),
        )
    for item in excluded:
        note(f"{item['benchmark']}: {', '.join(item['what'])} not compared: {item['why']}")
    sizes = [size_row(Arm((side,))) for side in (a, b)]
    if as_json:
        print_json({"a": a.name, "b": b.name, "comparison": rows, "left_out": excluded, "models": sizes})
        return
    from nsad_cli.cli.render.comparison import size_table
    from nsad_cli.cli.render.evaluation import comparison_tables

    for table in (*comparison_tables(rows, a.name, b.name), size_table(sizes)):
        out().print(table)


def parse_side(name: str, engine: str | None) -> Side:
    """Parse RUN[:MODEL][@ENGINE]; the default model is the best one that the run has.

    Raises:
        UsageError: There is no such run, model or engine.
        NsadError: The run has not trained the model.
    """
    from nsad_cli.config.engine_spec import parse_engine
    from nsad_cli.config.stages import models as known_models
    from nsad_cli.errors import UsageError
    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.runs.models import best_model, require_model
    from nsad_cli.runs.run import Run

    what, at, own_engine = name.partition("@")
    run_name, _, model = what.partition(":")
    given = own_engine if at else engine
    if given is not None:
        parse_engine(given, reached=False)  # an invalid one is reported before the run
    run = Run.open(run_name)
    sampled_by = parse_engine(given or run.recipe.evaluation_engine, reached=False)
    if model and model not in known_models():
        raise UsageError(
            f"unknown model `{model}`", f"`{what}` is read as RUN:MODEL", f"models: {', '.join(known_models())}"
        )
    model = model or best_model(run)
    require_model(run, model)
    return Side(run, model, sampled_by)


def compare_pair(
    sides: tuple[Side, Side], spec: str, limit: int | None, samples: int | None, how: str
) -> tuple[Rows, Rows]:
    """Compare two models on the problems of a benchmark that neither run was trained on; see evaluation.compare."""
    from nsad_cli.evaluation.compare import compare
    from nsad_cli.evaluation.measure import load_benchmarks
    from nsad_cli.grading.checker import Checker

    a, b = (side.run for side in sides)
    ((label, problems),) = load_benchmarks(a, [spec], limit)
    if b.name != a.name:  # exclude what either run was trained on
        ((_, others),) = load_benchmarks(b, [spec], limit)
        known = {problem.id for problem in others}
        problems = [problem for problem in problems if problem.id in known]
    with Checker() as checker:
        return compare(label, problems, sides, samples, checker, how)

"""`nsad eval`: accuracies with intervals, and two models or runs compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, Device, EngineName, ProblemSpecs, RunName
from nsad_cli.utils.logs import note


def evaluate(
    problems: ProblemSpecs = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="base, few-shot, negative, nat, nce or a baseline; repeatable.",
            autocompletion=completions.model_names,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first N problems of each benchmark.")] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", "-n", min=0, help="Chains per problem for the votes.")
    ] = None,
    stop_at: Annotated[
        float, typer.Option("--stop-at", min=0.5, max=1.0, help="Also report early stopping at this probability.")
    ] = 0.95,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains sampled at once.")] = 1,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="Compare two measured models, each RUN[:MODEL][@ENGINE] (ENGINE if it differs from --engine; a "
            "server's without its URL). Nothing is sampled.",
        ),
    ] = None,
    run_name: RunName = None,
    engine: EngineName = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run's models on benchmarks: greedy answers, and votes under every rule from one sampling pass."""
    if compare is not None:
        from nsad_cli.cli.compare_models import compare_runs

        compare_runs(compare, problems, limit, samples, engine, as_json)
        return
    from nsad_cli.cli.solve import check_engine

    check_engine(engine)
    _known_models(models)
    from nsad_cli import api
    from nsad_cli.cli.render.progress import Display
    from nsad_cli.cli.run_selection import existing_run
    from nsad_cli.evaluation.measure import require_benchmarks

    run = existing_run(run_name, {"student.device": device}, finished=True)
    specs = require_benchmarks(run.recipe, problems)
    with Display(run):
        note("loading the student …")
        report = api.evaluate(
            run, specs, models=models, limit=limit, samples=samples, engine=engine, stop_at=stop_at, wave=wave
        )
    if as_json:
        print_json(report)
    else:
        _print(report, run.recipe.solve.rule)


def _known_models(models: Sequence[str] | None) -> None:
    from nsad_cli.config.stages import models as known_models
    from nsad_cli.errors import UsageError, did_you_mean

    unknown = [name for name in models or [] if name not in known_models()]
    if unknown:
        fix = f"{did_you_mean(unknown[0], known_models())} models: {', '.join(known_models())}".strip()
        raise UsageError(f"unknown model `{unknown[0]}`", "a run has others", fix)


def _print(report: dict[str, Any], rule: str) -> None:
    from nsad_cli.cli.render.evaluation import group_tables, results_table, stopping_table

    console = out()
    console.print(results_table(report["results"]))
    if report["stopping"]:
        console.print(stopping_table(report["stopping"]))
    for row in report["negatives"]:
        where = f"{row['model']} ({row['benchmark']}, {row['n']} greedy chains)"
        console.print(f"effect of negatives on {where}: {row['summary']}")
    for table in group_tables(report["groups"], rule):
        console.print(table)

"""`nsad eval`: accuracies with intervals, and two models or runs compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, Device, EngineName, ProblemSpecs, RunName
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run


def evaluate(
    problems: ProblemSpecs = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="base, few-shot, negative, nat, nce or a baseline; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first N problems of each benchmark.")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=0, help="Chains per problem for the votes.")] = None,
    stop_at: Annotated[
        float, typer.Option("--stop-at", min=0.5, max=1.0, help="Also tell what stopping at this would have cost.")
    ] = 0.95,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains drawn at once.")] = 1,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="Compare two measured models, RUN[:MODEL][@ENGINE] each (ENGINE where --engine is not meant; a "
            "server's without URL); nothing is sampled.",
        ),
    ] = None,
    run_name: RunName = None,
    engine: EngineName = "hf",
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run's models on benchmarks: greedy answers, and votes under every rule from one sampling pass."""
    if compare is not None:
        from nsad_cli.cli.compare import compare_runs

        compare_runs(compare, problems, limit, samples, engine, as_json)
        return
    from nsad_cli.generation.engine_spec import parse_engine

    parse_engine(engine)
    _known_models(models)
    from nsad_cli.cli.run_selection import existing_run

    run = existing_run(run_name, {"student.device": device}, finished=True)
    report = _measure(run, _specs(run, problems), models, limit, samples, engine, stop_at, wave)
    if as_json:
        print_json(report)
    else:
        _print(report, run.recipe.solve.rule)


def _known_models(models: Sequence[str] | None) -> None:
    from nsad_cli.config.stages import models as known_models
    from nsad_cli.errors import UsageError

    unknown = [name for name in models or [] if name not in known_models()]
    if unknown:
        raise UsageError(f"unknown model `{unknown[0]}`", "a run has others", f"models: {', '.join(known_models())}")


def _specs(run: Run, problems: Sequence[str] | None) -> Sequence[str]:
    from nsad_cli.errors import UsageError

    specs = problems or run.recipe.evaluation.benchmarks
    if not specs:
        raise UsageError("no benchmark is named", "the run's recipe has none", "give --problems NAME[:SPLIT][@PATH]")
    return specs


def _measure(
    run: Run,
    specs: Sequence[str],
    models: Sequence[str] | None,
    limit: int | None,
    samples: int | None,
    engine: str,
    stop_at: float,
    wave: int,
) -> dict[str, Any]:
    from nsad_cli.cli.render.progress import Display

    settings = run.recipe.evaluation
    with Display(run):
        note("loading the student …")
        from nsad_cli.evaluation.measure import evaluate_models, load_benchmarks
        from nsad_cli.inference.session import Session
        from nsad_cli.runs.models import has_model

        session = Session(run)
        with run.lock():
            return evaluate_models(
                session,
                stage="eval",
                models=models or [name for name in settings.models if has_model(run, name)],
                benchmarks=load_benchmarks(run, specs, settings.limit if limit is None else limit),
                samples=settings.samples if samples is None else samples,
                engine=engine,
                stop_at=stop_at,
                wave=wave,
            )


def _print(report: dict[str, Any], rule: str) -> None:
    from nsad_cli.cli.render.evaluation import group_tables, results_table, stopping_table

    console = out()
    console.print(results_table(report["results"]))
    if report["stopping"]:
        console.print(stopping_table(report["stopping"]))
    for table in group_tables(report["groups"], rule):
        console.print(table)

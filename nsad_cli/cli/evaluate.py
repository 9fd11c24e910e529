"""`nsad eval`: accuracies with intervals."""

from __future__ import annotations

from typing import Annotated

import typer

from nsad_cli.cli.options import AsJson, Device, ProblemSpecs, RunName
from nsad_cli.cli.output import out, print_json


def evaluate(
    problems: ProblemSpecs = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="base, few-shot, negative, nat, nce or a baseline; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first N problems of each benchmark.")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=0, help="Chains per problem for the votes.")] = None,
    run_name: RunName = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run's models on benchmarks: greedy answers, and votes under every rule from one sampling pass."""
    from nsad_cli.cli.display import Display
    from nsad_cli.cli.tables import results_table
    from nsad_cli.cli.target import existing_run
    from nsad_cli.config import MODELS
    from nsad_cli.errors import UsageError

    run = existing_run(run_name, {"student.device": device}, finished=True)
    settings = run.recipe.evaluation
    specs = problems or settings.benchmarks
    if not specs:
        raise UsageError("no benchmark is named", "the run's recipe has none", "give --problems NAME[:SPLIT][@PATH]")
    unknown = [name for name in models or [] if name not in MODELS]
    if unknown:
        raise UsageError(f"unknown model `{unknown[0]}`", "a run has others", f"models: {', '.join(MODELS)}")
    with Display(run) as display:
        display.note("loading the student …")
        from nsad_cli.pipeline import evaluate_models, load_benchmarks
        from nsad_cli.session import Session

        session = Session(run, note=display.note)
        chosen = models or [name for name in settings.models if session.has(name)]
        with run.lock():
            rows = evaluate_models(
                session,
                stage="eval",
                models=chosen,
                benchmarks=load_benchmarks(run, specs, settings.limit if limit is None else limit, display.note),
                samples=settings.samples if samples is None else samples,
            )
    if as_json:
        print_json({"results": rows})
    else:
        out().print(results_table(rows))

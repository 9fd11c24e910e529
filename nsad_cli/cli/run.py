"""`nsad run RECIPE`: run every stage of a recipe; resumable."""

from __future__ import annotations

from typing import Annotated

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import (
    AsJson,
    Device,
    Dtype,
    Force,
    RecipeName,
    RunEngine,
    RunName,
    Settings,
    StudentModel,
    one_of,
    recipe_overrides,
)
from nsad_cli.config.choices import DEVICE_PROFILES
from nsad_cli.errors import UsageError
from nsad_cli.utils.logs import note


def run(
    recipe: RecipeName,
    run_name: RunName = None,
    student: StudentModel = None,
    device: Device = None,
    dtype: Dtype = None,
    engine: RunEngine = None,
    settings: Settings = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show the time, memory and cost of each stage, and run nothing.")
    ] = False,
    device_profile: Annotated[
        str | None,
        typer.Option(
            "--device-profile",
            callback=one_of("--device-profile", lambda: DEVICE_PROFILES),
            help=f"With --plan: estimate times for this GPU: {', '.join(DEVICE_PROFILES)}.",
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe from problems to report; run the same command again to resume."""
    from nsad_cli.cli.render.evaluation import results_table
    from nsad_cli.cli.report import write_at_end
    from nsad_cli.cli.run_selection import execute
    from nsad_cli.config.recipes import find_recipe, load_recipe
    from nsad_cli.config.stages import RUN_ORDER
    from nsad_cli.pipeline.preflight import preflight
    from nsad_cli.runs.run import Run

    if device_profile is not None and not plan:
        raise UsageError("--device-profile needs --plan", "it estimates times and runs nothing", "add --plan")
    path = find_recipe(recipe)
    overrides = recipe_overrides(student, device, dtype, engine, settings)
    loaded = load_recipe(path, overrides)
    name = run_name or loaded.name or path.stem
    if plan:
        from nsad_cli.cli.render.plan import show_plan
        from nsad_cli.pipeline.plan import make_plan

        show_plan(make_plan(name, loaded, force=force, profile=device_profile), as_json)
        return
    preflight(loaded, RUN_ORDER, name)
    target = Run.create(name, loaded)
    note(f"run: {target.name}")
    results = execute(target, RUN_ORDER, force=force)
    write_at_end(target)
    rows = [row for stage in ("eval-before", "eval") for row in results[stage]["results"]]
    if as_json:
        print_json({"run": target.name, "results": rows})
    elif rows:
        out().print(results_table(rows))
        note(f'next: nsad solve "…" --run {target.name}')

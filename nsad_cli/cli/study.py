"""`nsad study FILE` or `nsad study RECIPE --arms …`: compare models over seeds, one run per arm and seed; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import (
    AsJson,
    Device,
    Dtype,
    RunEngine,
    Settings,
    StudentModel,
    one_of,
    recipe_overrides,
)
from nsad_cli.config.choices import LAUNCHERS
from nsad_cli.errors import UsageError
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.study.definition import Study
    from nsad_cli.study.execute import RunCells


def study(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|RECIPE",
            help="A YAML file with the key `arms`, or a recipe (with --arms).",
            autocompletion=completions.study_names,
        ),
    ],
    arms: Annotated[
        str | None,
        typer.Option(
            "--arms", metavar="ARM,…", help="Arms of the file, or models: base, few-shot, nat, nce, or baselines."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Runs of each arm. Default: 1.")] = None,
    equal: Annotated[
        str | None,
        typer.Option("--equal", help="Budget of every arm: total-tokens, steps or parameters. Default: the recipe's."),
    ] = None,
    control: Annotated[
        str | None, typer.Option("--control", help="The arm to compare with. Default: the first.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="What is compared: greedy answers (default), or votes: sc, wsc, asc, …")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The study's name; its runs are NAME.ARM.SEED.")] = None,
    launcher: Annotated[
        str,
        typer.Option(
            "--launcher",
            callback=one_of("--launcher", lambda: LAUNCHERS),
            help="local: processes on this machine. slurm: a job per cell (extra `slurm`).",
        ),
    ] = LAUNCHERS[0],
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="With --launcher local: cells to run at the same time.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option("--slurm", metavar="KEY=VALUE", help="A parameter of the jobs: time, partition, gpus, account, …"),
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="A store of rationales to use. Default: the study's own.")
    ] = None,
    student: StudentModel = None,
    device: Device = None,
    dtype: Dtype = None,
    engine: RunEngine = None,
    settings: Settings = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what each arm would train, and run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare models over several seeds with equal budgets; run the same command again to resume."""
    from nsad_cli.study.definition import load_study

    overrides = recipe_overrides(student, device, dtype, engine, settings)
    parameters = _slurm_parameters(launcher, jobs, slurm)
    names = None if arms is None else [item.strip() for item in arms.split(",") if item.strip()]
    flags = {"name": name, "seeds": seeds, "control": control, "equal": equal, "rule": rule}
    loaded = load_study(target, arms=names, overrides=overrides, **flags)
    if plan:
        from nsad_cli.cli.render.study import plan_table
        from nsad_cli.study.plan import plan_json, plan_study

        planned = plan_study(loaded)
        if as_json:
            print_json(plan_json(planned))
        else:
            out().print(plan_table(planned))
        return

    from nsad_cli.cli.render.study import StudyDisplay, ranker_lines, results_table, summary, votes_tables
    from nsad_cli.cli.run_selection import note_network_store
    from nsad_cli.errors import NsadError
    from nsad_cli.runs.command import resume_hint
    from nsad_cli.study.cells import make_cells
    from nsad_cli.study.execute import check_study, run_study
    from nsad_cli.study.results import FILE, study_results

    run_cells = _run_cells(loaded, jobs or 1, parameters)
    check_study(loaded)
    note_network_store(store)
    note(f"study: {loaded.name}: {len(loaded.arms)} arms × {len(loaded.seeds)} seeds, control {loaded.control}")
    with StudyDisplay(make_cells(loaded)) as display:
        cells, failures = run_study(loaded, run_cells, store=store, watch=display.watch)
    result = study_results(loaded, cells, failures)
    if as_json:
        print_json(result)
    else:
        out().print(results_table(result))
        out().print(summary(result), markup=False)
        for table in votes_tables(result):
            out().print(table)
        for line in ranker_lines(result):
            out().print(line, markup=False)
        note(f"written: {loaded.path / FILE}")
    if failures:
        failed, error = next(iter(failures.items()))
        why = f"{failed}: {error.what}: {error.why}"
        raise NsadError(f"{len(failures)} of {len(cells)} cells failed", why, f"{error.fix}; {resume_hint()}")


def _slurm_parameters(launcher: str, jobs: int | None, given: list[str] | None) -> dict[str, Any] | None:
    """Return the parameters of the jobs; None with --launcher local."""
    from nsad_cli.study.slurm import parse_parameters

    if launcher == "slurm":
        if jobs is not None:
            raise UsageError("--jobs needs --launcher local", "Slurm decides how many jobs run at once", "leave it out")
        return parse_parameters(given or [])
    if given:
        raise UsageError("--slurm needs --launcher slurm", "no job is submitted without it", "add --launcher slurm")
    return None


def _run_cells(study: Study, jobs: int, slurm: dict[str, Any] | None) -> RunCells:
    from nsad_cli.study.execute import in_order
    from nsad_cli.study.jobs import submitted
    from nsad_cli.study.process import at_once
    from nsad_cli.study.slurm import require_slurm, slurm_executor

    if slurm is None:
        return in_order if jobs == 1 else at_once(jobs)
    require_slurm(study.recipe)
    return submitted(slurm_executor(study.path / "jobs", slurm))

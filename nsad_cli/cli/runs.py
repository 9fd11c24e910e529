"""`nsad runs`: list runs, and choose the default run of the other commands."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, with_log_options
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run

MAX_COMMANDS = 5
"""The maximum number of runs whose commands, or effects of negatives, are printed."""

app = typer.Typer(
    help="List runs, or choose the default run of the other commands.",
    invoke_without_command=True,
    add_completion=False,
)


@app.callback()
@with_log_options
def runs(context: typer.Context, as_json: AsJson = False) -> None:
    """List runs, newest first."""
    if context.invoked_subcommand is not None:
        return
    from nsad_cli.runs.run import list_runs, runs_home

    rows = _rows(list_runs())
    if as_json:
        print_json({"runs": rows})
    elif rows:
        _print(rows)
    else:
        note(f"no runs in {runs_home().resolve()}; create one with `nsad demo` or `nsad run RECIPE`")


def _rows(found: Sequence[Run]) -> list[dict[str, Any]]:
    """Describe each run; `state` is that of its latest stage, `run_state` that of the whole run."""
    from nsad_cli.errors import NsadError
    from nsad_cli.runs.command import resume_command
    from nsad_cli.runs.negative_effect import measured_effects
    from nsad_cli.runs.run import chosen_run, display_state, run_state

    chosen = chosen_run()
    rows = []
    for run in found:
        row: dict[str, Any] = {
            "run": run.name,
            "stage": None,
            "state": "empty",
            "run_state": "empty",
            "created": None,
            "chosen": bool(chosen and chosen.name == run.name),
            "path": str(run.path),
            "command": None,
            "folder": None,
            "negatives": [],
        }
        rows.append(row)
        try:
            manifest = run.manifest()
            stages = manifest["stages"]
            last = max(stages, key=lambda name: stages[name].get("started", 0), default=None)
            row |= {"stage": last, "created": manifest["created"], "run_state": run_state(run)}
            row["state"] = display_state(run, last) if last else "empty"
            row["negatives"] = measured_effects(run)
            if row["run_state"] not in ("finished", "running"):
                row["command"], row["folder"] = resume_command(run.name, manifest)
        except NsadError as error:
            row["state"] = row["run_state"] = f"unreadable: {error.why}"
    return rows


def _print(rows: Sequence[dict[str, Any]]) -> None:
    from nsad_cli.cli.render.tables import new_table
    from nsad_cli.config.stages import NAT
    from nsad_cli.models.nat.effect_size import short_effect
    from nsad_cli.runs.command import AGAIN
    from nsad_cli.runs.run import runs_home

    table = new_table(f"Runs in {runs_home()}", "run", "run state", "latest stage", "stage state", "created", left=5)
    for row in rows:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["created"])) if row["created"] else "–"
        name = f"{row['run']}{' (chosen)' if row['chosen'] else ''}"
        table.add_row(name, row["run_state"], row["stage"] or "–", row["state"] if row["stage"] else "–", made)
    console = out()
    console.print(table)
    effects = [(row["run"], effect) for row in rows for effect in row["negatives"] if effect["model"] == NAT.name]
    for name, effect in effects[:MAX_COMMANDS]:
        console.print(f"effect of negatives in {name}: {short_effect(effect['kl'])}", markup=False)
    left = [row for row in rows if row["stage"] and row["run_state"] not in ("finished", "running")]
    for row in left[:MAX_COMMANDS]:
        line = row["command"] or AGAIN
        if row["folder"] is not None and not _is_here(row["folder"]):
            line = f"cd {shlex.quote(row['folder'])} && {line}"
        console.print(f"to resume {row['run']}: {line}", markup=False, soft_wrap=True)
    if len(left) > MAX_COMMANDS:
        console.print(f"and {len(left) - MAX_COMMANDS} older runs (--json has their commands)", style="dim")


def _is_here(folder: str) -> bool:
    try:
        return os.getcwd() == folder
    except OSError:  # the working folder was deleted
        return False


@app.command("use")
@with_log_options
def use(
    name: Annotated[
        str | None, typer.Argument(help="The run's name; without it, the newest run is the default again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set the default run of the other commands."""
    from nsad_cli.runs.run import choose_run

    choose_run(name)
    if as_json:
        print_json({"run": name})
    else:
        note(f"using run {name}" if name else "using the newest run")

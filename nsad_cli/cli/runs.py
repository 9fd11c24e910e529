"""`nsad runs`: list runs, and choose the default run of the other commands."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, with_log_options
from nsad_cli.utils.logs import note

app = typer.Typer(help="List runs, or choose the default run of the other commands.", invoke_without_command=True)


@app.callback()
@with_log_options
def runs(context: typer.Context, as_json: AsJson = False) -> None:
    """List runs, newest first."""
    if context.invoked_subcommand is not None:
        return
    from nsad_cli.cli.render.tables import new_table
    from nsad_cli.errors import NsadError
    from nsad_cli.runs.run import chosen_run, display_state, list_runs, runs_home

    chosen = chosen_run()
    rows = []
    for run in list_runs():
        try:
            manifest = run.manifest()
            stages = manifest["stages"]
            last = max(stages, key=lambda name: stages[name].get("started", 0), default=None)
            state = display_state(run, last) if last else "empty"
            rows.append(
                {
                    "run": run.name,
                    "stage": last,
                    "state": state,
                    "created": manifest["created"],
                    "chosen": bool(chosen and chosen.name == run.name),
                    "path": str(run.path),
                }
            )
        except NsadError as error:
            rows.append(
                {
                    "run": run.name,
                    "stage": None,
                    "state": f"unreadable: {error.why}",
                    "created": None,
                    "chosen": False,
                    "path": str(run.path),
                }
            )
    if as_json:
        print_json({"runs": rows})
        return
    if not rows:
        note(f"no runs in {runs_home().resolve()}; create one with `nsad demo` or `nsad run RECIPE`")
        return
    table = new_table(f"Runs in {runs_home()}", "run", "latest stage", "state", "created", left=4)
    for row in rows:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["created"])) if row["created"] else "–"
        table.add_row(f"{row['run']}{' (chosen)' if row['chosen'] else ''}", row["stage"] or "–", row["state"], made)
    out().print(table)


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

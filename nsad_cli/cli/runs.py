"""`nsad runs`: list, show, rename, remove and annotate runs, and choose the default run of the other commands."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, with_log_options
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run

MAX_COMMANDS = 5
"""The maximum number of runs whose commands, or effects of negatives, are printed."""

app = typer.Typer(
    help="List, show, rename, remove or annotate runs, or choose the default run of the other commands.",
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
    from nsad_cli.runs.run import chosen_run

    chosen = chosen_run()
    return [_row(run, chosen is not None and chosen.name == run.name) for run in found]


def _row(run: Run, chosen: bool) -> dict[str, Any]:
    from nsad_cli.errors import NsadError
    from nsad_cli.runs.command import resume_command
    from nsad_cli.runs.negative_effect import measured_effects
    from nsad_cli.runs.overview import overview
    from nsad_cli.runs.run import display_state, run_state

    row: dict[str, Any] = {
        "run": run.name,
        "stage": None,
        "state": "empty",
        "run_state": "empty",
        "created": None,
        "chosen": chosen,
        "path": str(run.path),
        "command": None,
        "folder": None,
        "negatives": [],
        "student": None,
        "teacher": None,
        "note": None,
        "loss": None,
        "accuracy": [],
    }
    try:
        manifest = run.manifest()
        stages = manifest["stages"]
        last = max(stages, key=lambda name: stages[name].get("started", 0), default=None)
        row |= {"stage": last, "created": manifest["created"], "run_state": run_state(run), **overview(run)}
        row["state"] = display_state(run, last) if last else "empty"
        row["negatives"] = measured_effects(run)
        if row["run_state"] not in ("finished", "running"):
            row["command"], row["folder"] = resume_command(run.name, manifest)
    except NsadError as error:
        row["state"] = row["run_state"] = f"unreadable: {error.why}"
    return row


def _print(rows: Sequence[dict[str, Any]]) -> None:
    from nsad_cli.cli.render.runs import runs_table
    from nsad_cli.config.stages import NAT
    from nsad_cli.models.nat.effect_size import short_effect
    from nsad_cli.runs.command import AGAIN
    from nsad_cli.runs.run import runs_home

    console = out()
    console.print(runs_table(f"Runs in {runs_home()}", rows, time.time()))
    effects = [(row["run"], effect) for row in rows for effect in row["negatives"] if effect["model"] == NAT.name]
    for name, effect in effects[:MAX_COMMANDS]:
        console.print(f"effect of negatives in {name}: {short_effect(effect['kl'])}", markup=False)
    left = [row for row in rows if row["stage"] and row["run_state"] not in ("finished", "running")]
    for row in left[:MAX_COMMANDS]:
        console.print(f"to resume {row['run']}: {_resume_line(row) or AGAIN}", markup=False, soft_wrap=True)
    if len(left) > MAX_COMMANDS:
        console.print(f"and {len(left) - MAX_COMMANDS} older runs (--json has their commands)", style="dim")


def _resume_line(row: dict[str, Any]) -> str | None:
    """Return the command that resumes a run, to be typed in the current folder; None if it is not known."""
    line: str | None = row["command"]
    if line is not None and row["folder"] is not None and not _is_here(row["folder"]):
        return f"cd {shlex.quote(row['folder'])} && {line}"
    return line


def _is_here(folder: str) -> bool:
    try:
        return os.getcwd() == folder
    except OSError:  # the working folder was deleted
        return False


@app.command("use")
@with_log_options
def use(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The run's name; without it, the newest run is the default again.",
            autocompletion=completions.run_names,
        ),
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


ExistingRun = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's name.", autocompletion=completions.run_names)
]


@app.command("show")
@with_log_options
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="The run's name. Default: the chosen or newest run.",
            autocompletion=completions.run_names,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one run: student, teacher, stages with their times, accuracies, and how to resume it."""
    from nsad_cli.cli.render.runs import print_run
    from nsad_cli.runs.run import Run, chosen_run

    run = Run.open(name)
    chosen = chosen_run()
    row = _row(run, chosen is not None and chosen.name == run.name)
    row["stages"] = [
        {"stage": stage, "state": record["state"], "seconds": record.get("seconds")}
        for stage, record in run.stages().items()
    ]
    if as_json:
        print_json(row)
    else:
        print_run(out(), row, time.time(), _resume_line(row))


@app.command("rename")
@with_log_options
def rename(
    name: ExistingRun, new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")], as_json: AsJson = False
) -> None:
    """Rename a run."""
    from nsad_cli.runs.manage import rename_run
    from nsad_cli.runs.run import Run

    renamed = rename_run(Run.open(name), new)
    if as_json:
        print_json({"run": renamed.name, "renamed_from": name, "path": str(renamed.path)})
    else:
        note(f"renamed {name} to {renamed.name}")


@app.command("rm")
@with_log_options
def remove(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN…", help="The runs' names.", autocompletion=completions.run_names)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move runs to the bin, the folder `.bin` beside the runs; delete that folder to free the space."""
    from nsad_cli.errors import UsageError
    from nsad_cli.runs.manage import move_to_bin
    from nsad_cli.runs.run import Run

    found = [Run.open(name) for name in dict.fromkeys(names)]
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("confirmation needed", "stdin is not a terminal", "add --yes")
        listed = ", ".join(run.name for run in found)
        if not typer.confirm(f"Move to the bin: {listed}?", err=True):
            raise typer.Abort
    moved = [{"run": run.name, "bin": str(move_to_bin(run))} for run in found]
    if as_json:
        print_json({"removed": moved})
    else:
        for row in moved:
            note(f"moved {row['run']} to {row['bin']}")


@app.command("note")
@with_log_options
def set_run_note(
    name: ExistingRun,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The note; without it, it is deleted.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set a run's note, which `nsad runs` and `nsad runs show` print."""
    from nsad_cli.runs.manage import set_note
    from nsad_cli.runs.run import Run

    set_note(Run.open(name), text)
    if as_json:
        print_json({"run": name, "note": text})
    else:
        note(f"note of {name}: {text}" if text else f"deleted the note of {name}")

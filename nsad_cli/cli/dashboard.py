"""`nsad dashboard`: runs, curves, the machine, votes and data on one screen, while they grow."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from nsad_cli.cli.options import RunName


class First(StrEnum):
    """The screens."""

    RUNS = "runs"
    CURVES = "curves"
    MACHINE = "machine"
    VOTES = "votes"
    DATA = "data"


def dashboard(
    run_name: RunName = None,
    view: Annotated[First, typer.Option("--view", help="The screen to begin with.")] = First.RUNS,
) -> None:
    """Watch runs learn, and take their votes apart; reads only, and holds up no run."""
    import sys

    from nsad_cli.dashboard.app import Dashboard
    from nsad_cli.dashboard.reader import Reader
    from nsad_cli.errors import UsageError
    from nsad_cli.runs import Run, list_runs, runs_home

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "the dashboard needs a terminal", "its input or output is none", "`nsad runs --json` is for programs"
        )
    name = Run.open(run_name).name if run_name or list_runs() else None
    Dashboard(Reader(runs_home().resolve(), name), view.value).run()

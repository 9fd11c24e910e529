"""`nsad dashboard`: live views of runs, curves, the machine, votes and data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nsad_cli.cli.options import RunName


class View(StrEnum):
    """The dashboard's views."""

    RUNS = "runs"
    CURVES = "curves"
    MACHINE = "machine"
    VOTES = "votes"
    DATA = "data"


def dashboard(
    run_name: RunName = None,
    view: Annotated[View, typer.Option("--view", help="The view to open first.")] = View.RUNS,
    demo: Annotated[bool, typer.Option("--demo", help="Show a recorded run; no run of your own is needed.")] = False,
) -> None:
    """Follow runs live and inspect their votes and data; nothing is changed except labels that you set in a review."""
    from contextlib import ExitStack

    from nsad_cli.runs.run import Run, list_runs, runs_home

    _require_terminal()
    with ExitStack() as stack:
        if demo:
            from nsad_cli.dashboard.demo_runs import recorded_runs

            home = stack.enter_context(recorded_runs())
            name: str | None = _recorded(home, run_name)
        else:
            home = runs_home().resolve()
            name = Run.open(run_name).name if run_name or list_runs() else None

        from nsad_cli.dashboard.app import Dashboard
        from nsad_cli.dashboard.context import DashboardContext

        app = Dashboard(DashboardContext(home, name), view.value)
        app.run()
        if app.failure is not None:
            raise app.failure


def _require_terminal() -> None:
    import os
    import sys

    from nsad_cli.errors import UsageError

    fix = "`nsad runs --json` is for programs"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the dashboard needs a terminal", "stdin or stdout is not a terminal", fix)
    if os.environ.get("TERM") in ("dumb", "unknown"):
        why = f"TERM is `{os.environ['TERM']}`, which cannot position text on the screen"
        raise UsageError("the dashboard needs a terminal", why, f"use another terminal, or `nsad runs`; {fix}")


def _recorded(home: Path, run_name: str | None) -> str:
    """Return the name of the recorded run to show; raise UsageError if --run names another."""
    from nsad_cli.errors import UsageError

    names = sorted(path.name for path in home.iterdir())
    if run_name is not None and run_name not in names:
        raise UsageError(
            f"no recorded run named `{run_name}`",
            f"--demo shows {', '.join(f'`{name}`' for name in names)}",
            "leave --run and NSAD_RUN out with --demo",
        )
    return run_name or names[0]

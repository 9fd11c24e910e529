"""State shared by all screens: the folder of runs, the selected run, the marked runs, and the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from nsad_cli.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


class DashboardContext:
    """The selected and the marked runs of a folder; reading them never changes a run.

    Args:
        home: The folder that contains the runs.
        run: Name of the selected run.
        clock: Returns seconds since 1970; tests pass a fixed time.
    """

    def __init__(self, home: Path, run: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self.home, self.run_name, self.clock = home, run, clock
        self.marked: list[str] = []
        """Names of the runs to overlay, in the order in which they were marked."""

    @property
    def run(self) -> Run | None:
        """The selected run; None if there is none or its folder no longer exists."""
        if self.run_name is None:
            return None
        run = Run(self.home / self.run_name)
        return run if run.path.is_dir() else None

    def overlaid(self) -> list[Run]:
        """Return the selected run and the marked ones, without duplicates and without deleted runs."""
        names = dict.fromkeys([*([self.run_name] if self.run_name else []), *self.marked])
        return [run for name in names if (run := Run(self.home / name)).path.is_dir()]


class AppWithContext(Protocol):
    """The attributes of the app that its screens use."""

    context: DashboardContext
    MODES: Iterable[str]
    """The screens by name, in order."""

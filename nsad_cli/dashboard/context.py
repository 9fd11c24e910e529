"""What the screens have in common: the runs' home, the run looked at, the runs marked, and the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from nsad_cli.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


class DashboardContext:
    """Finds runs and remembers which of them the user looks at; reads never change a run.

    clock: seconds since 1970; tests stop it.
    """

    def __init__(self, home: Path, run: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self.home, self.run_name, self.clock = home, run, clock
        self.marked: list[str] = []
        """Runs to overlay, in the order in which they were marked."""

    @property
    def run(self) -> Run | None:
        """The run looked at, where it is still there."""
        if self.run_name is None:
            return None
        run = Run(self.home / self.run_name)
        return run if run.path.is_dir() else None

    def overlaid(self) -> list[Run]:
        """The run looked at and those marked, each once, as far as they are still there."""
        names = dict.fromkeys([*([self.run_name] if self.run_name else []), *self.marked])
        return [run for name in names if (run := Run(self.home / name)).path.is_dir()]


class AppWithContext(Protocol):
    """The app as its screens see it."""

    context: DashboardContext
    MODES: Iterable[str]
    """The screens by name, in order."""

"""List of the runs in a folder, updated from the files that have changed."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.run_files import RunFiles
from nsad_cli.dashboard.live.run_status import RunRow, run_row
from nsad_cli.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

REFRESH_SECONDS = 0.015
"""Approximate time limit of one refresh in seconds; the next refresh reads the remaining changes."""


@dataclass(slots=True)
class _ListedRun:
    """A run's files, and the cached row built from them."""

    files: RunFiles
    row: RunRow | None = None
    inputs: tuple[object, ...] = ()

    def current_row(self, now: float, monotonic_now: float, chosen: bool) -> RunRow:
        """Return the run's row; rebuilt if something has changed or a process is working on the run."""
        files, busy = self.files, self.files.busy()
        inputs = (files.read_stamps, files.gone, files.why, busy, chosen)
        if self.row is None or busy or inputs != self.inputs:
            self.row, self.inputs = run_row(files, now, monotonic_now, busy, chosen), inputs
        return self.row


class RunList:
    """The runs of a folder, sorted by modification time of their manifests, newest first.

    A run that is deleted stays in the list with the state `gone`.

    Args:
        home: The folder that contains the runs.
        monotonic_clock: Returns monotonic seconds; tests pass a fixed time.
    """

    def __init__(self, home: Path, monotonic_clock: Callable[[], float] = time.monotonic) -> None:
        self.home, self.monotonic_clock = home, monotonic_clock
        self._runs: dict[str, _ListedRun] = {}
        self.pending = False
        """Whether the last refresh left changed files unread."""

    def refresh(self, now: float) -> list[RunRow]:
        """Check every run, read changed files, and return the rows.

        Raises:
            OSError: The folder cannot be read.
        """
        with contextlib.suppress(FileNotFoundError), os.scandir(self.home) as entries:
            for entry in entries:
                if entry.name not in self._runs and os.path.isfile(os.path.join(entry.path, "manifest.json")):
                    self._runs[entry.name] = _ListedRun(RunFiles(Run(Path(entry.path))))
        chosen = self._chosen()
        runs = sorted(self._runs.values(), key=lambda item: item.files.run.name)
        monotonic_now = self.monotonic_clock()
        runs.sort(key=lambda item: item.files.check(monotonic_now), reverse=True)
        until, self.pending = time.monotonic() + REFRESH_SECONDS, False
        for item in runs:
            if not item.files.gone and item.files.changed:
                if time.monotonic() > until:
                    self.pending = True
                    break
                item.files.read_changes()
        return [item.current_row(now, monotonic_now, item.files.run.name == chosen) for item in runs]

    def _chosen(self) -> str | None:
        with contextlib.suppress(OSError, ValueError):
            return (self.home / ".chosen").read_text(encoding="utf-8").strip()
        return None

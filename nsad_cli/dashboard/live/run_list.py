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
        self._sorted: list[_ListedRun] = []
        self._rows: list[RunRow] = []
        self._unread: list[int] = []
        """Positions in the sorted list of the runs whose changes are still to be read, the next one last."""
        self._chosen: str | None = None

    @property
    def pending(self) -> bool:
        """Whether the last refresh left changed files unread."""
        return bool(self._unread)

    def refresh(self, now: float) -> list[RunRow]:
        """Check every run, read changed files, and return the rows.

        If the last refresh left files unread, only reading continues: the number of checks does not depend on how many
        refreshes reading takes.

        Raises:
            OSError: The folder cannot be read.
        """
        monotonic_now = self.monotonic_clock()
        continues = self.pending
        if not continues:
            self._check(monotonic_now)
        read = self._read()
        if not continues:
            self._rows = [self._row(item, now, monotonic_now) for item in self._sorted]
        else:
            for index in read:
                self._rows[index] = self._row(self._sorted[index], now, monotonic_now)
        return list(self._rows)

    def _check(self, monotonic_now: float) -> None:
        """Find new runs, sort all of them, and list those that have changed."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.home) as entries:
            for entry in entries:
                if entry.name not in self._runs and os.path.isfile(os.path.join(entry.path, "manifest.json")):
                    self._runs[entry.name] = _ListedRun(RunFiles(Run(Path(entry.path))))
        self._chosen = self._read_chosen()
        self._sorted = sorted(self._runs.values(), key=lambda item: item.files.run.name)
        self._sorted.sort(key=lambda item: item.files.check(monotonic_now), reverse=True)
        changed = [i for i, item in enumerate(self._sorted) if not item.files.gone and item.files.changed]
        self._unread = changed[::-1]

    def _read(self) -> list[int]:
        """Read changed files for at most REFRESH_SECONDS; return the positions of their runs."""
        until, read = time.monotonic() + REFRESH_SECONDS, []
        while self._unread and time.monotonic() <= until:
            read.append(self._unread.pop())
            self._sorted[read[-1]].files.read_changes()
        return read

    def _row(self, item: _ListedRun, now: float, monotonic_now: float) -> RunRow:
        return item.current_row(now, monotonic_now, item.files.run.name == self._chosen)

    def _read_chosen(self) -> str | None:
        with contextlib.suppress(OSError, ValueError):
            return (self.home / ".chosen").read_text(encoding="utf-8").strip()
        return None

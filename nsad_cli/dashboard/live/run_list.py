"""Every run of a folder at a glance, from what has changed."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.run_files import RunFiles
from nsad_cli.dashboard.live.run_status import RunRow, row_of
from nsad_cli.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

BUDGET = 0.015
"""Seconds for which one look reads what has changed, about; what is left is read by the next."""


@dataclass(slots=True)
class _Listed:
    """A run's files, and the row that was made of them."""

    files: RunFiles
    row: RunRow | None = None
    made_of: tuple[object, ...] = ()

    def row_at(self, now: float, moment: float, chosen: bool) -> RunRow:
        """The run as it stands; made anew where something has changed, or a process is at work on it."""
        files, busy = self.files, self.files.busy()
        made_of = (files.read, files.gone, files.why, busy, chosen)
        if self.row is None or busy or made_of != self.made_of:
            self.row, self.made_of = row_of(files, now, moment, busy, chosen), made_of
        return self.row


class RunList:
    """The runs of a folder, the one whose manifest changed last first; one that vanishes stays, as gone.

    watch: seconds that never jump; tests stop it.
    """

    def __init__(self, home: Path, watch: Callable[[], float] = time.monotonic) -> None:
        self.home, self.watch = home, watch
        self._listed: dict[str, _Listed] = {}
        self.pending = False
        """Whether the last look left something to read."""

    def refresh(self, now: float) -> list[RunRow]:
        """Look at every run again and read what has changed. Raises OSError where the folder cannot be read."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.home) as entries:
            for entry in entries:
                if entry.name not in self._listed and os.path.isfile(os.path.join(entry.path, "manifest.json")):
                    self._listed[entry.name] = _Listed(RunFiles(Run(Path(entry.path))))
        chosen = self._chosen()
        listed = sorted(self._listed.values(), key=lambda item: item.files.run.name)
        moment = self.watch()
        listed.sort(key=lambda item: item.files.look(moment), reverse=True)
        until, self.pending = time.monotonic() + BUDGET, False
        for item in listed:
            if not item.files.gone and item.files.changed:
                if time.monotonic() > until:
                    self.pending = True
                    break
                item.files.catch_up()
        return [item.row_at(now, moment, item.files.run.name == chosen) for item in listed]

    def _chosen(self) -> str | None:
        with contextlib.suppress(OSError, ValueError):
            return (self.home / ".chosen").read_text(encoding="utf-8").strip()
        return None

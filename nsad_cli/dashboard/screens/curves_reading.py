"""Reading of event logs for the curves screen: new events at each tick, long logs in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.event_log import POLL_SECONDS
from nsad_cli.dashboard.live.event_logs import FollowedLogs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.dashboard.screens.base import View
    from nsad_cli.runs.run import Run

PAUSE_SECONDS = 0.01
"""Seconds between two parts of a long log, so that key presses are handled."""


class LogReading:
    """Incremental reading of the logs of the visible runs."""

    def __init__(self, screen: View) -> None:
        self.screen, self.logs = screen, FollowedLogs()
        self._scheduled = self._unseen = False

    def poll(self, runs: Sequence[Run]) -> bool:
        """Read new events of these runs; return whether anything was read since the last call."""
        self.logs.follow(runs)
        if not runs:
            return False
        new = self.logs.poll(POLL_SECONDS) or self._unseen
        self._unseen = False
        return new

    def schedule(self) -> None:
        """Schedule the next part if a log has more data."""
        if self.logs.pending and not self._scheduled:
            self._scheduled = True
            self.screen.set_timer(PAUSE_SECONDS, self.read_part)

    def read_part(self) -> None:
        """Read the next part of long logs while the screen is visible; redraw after the last part."""
        self._scheduled = False
        if not self.logs.pending or not self.screen.is_current:
            return
        self.logs.poll(POLL_SECONDS, pending=True)
        self._unseen = True
        self.schedule()
        if not self._scheduled:
            self.screen.tick()

"""Event logs of several runs, polled together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.event_log import POLL_SECONDS, EventLogReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.runs.run import Run


class FollowedLogs:
    """The event log of each run, by the run's name and in the order of the runs."""

    def __init__(self) -> None:
        self._logs: dict[str, EventLogReader] = {}

    def __iter__(self) -> Iterator[tuple[str, EventLogReader]]:
        return iter(self._logs.items())

    def __len__(self) -> int:
        return len(self._logs)

    def __getitem__(self, run: str) -> EventLogReader:
        return self._logs[run]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the runs."""
        return tuple(self._logs)

    def follow(self, runs: Sequence[Run]) -> None:
        """Follow these runs; logs of other runs are dropped."""
        known, self._logs = self._logs, {}
        for run in runs:
            path = run.path / "events.jsonl"
            log = known.get(run.path.name)
            self._logs[run.path.name] = log if log is not None and log.path == path else EventLogReader(path)

    def poll(self, budget_s: float = POLL_SECONDS, *, pending: bool = False) -> bool:
        """Read new lines for about `budget_s` seconds; return whether there were any.

        Args:
            budget_s: Seconds, shared equally by the logs.
            pending: Read only logs whose last poll left unread data.
        """
        logs = [log for log in self._logs.values() if log.pending or not pending]
        return any(log.poll(budget_s / len(logs)) for log in logs)

    @property
    def pending(self) -> bool:
        """Whether the last poll left unread data in any log."""
        return any(log.pending for log in self._logs.values())

    @property
    def notes(self) -> list[str]:
        """Problems with the logs, as messages; with several runs, each with its run's name."""
        reading = ["reading the log …"] if self.pending else []
        alone = len(self._logs) == 1
        return reading + [note if alone else f"{run}: {note}" for run, log in self for note in log.notes]

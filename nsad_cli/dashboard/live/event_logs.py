"""The event logs of several runs, followed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.event_log import POLL_SECONDS, EventLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.runs.run import Run


class FollowedLogs:
    """A log a run, by the run's name and in the runs' order; a run that is left out is forgotten."""

    def __init__(self) -> None:
        self._logs: dict[str, EventLog] = {}

    def __iter__(self) -> Iterator[tuple[str, EventLog]]:
        return iter(self._logs.items())

    def __len__(self) -> int:
        return len(self._logs)

    def __getitem__(self, run: str) -> EventLog:
        return self._logs[run]

    @property
    def names(self) -> tuple[str, ...]:
        """The runs' names."""
        return tuple(self._logs)

    def follow(self, runs: Sequence[Run]) -> None:
        """These runs and no others."""
        known, self._logs = self._logs, {}
        for run in runs:
            path = run.path / "events.jsonl"
            log = known.get(run.path.name)
            self._logs[run.path.name] = log if log is not None and log.path == path else EventLog(path)

    def poll(self, budget_s: float = POLL_SECONDS, *, pending: bool = False) -> bool:
        """Read what is new for about that long, of all or of those that left something; whether something was new."""
        logs = [log for log in self._logs.values() if log.pending or not pending]
        return any(log.poll(budget_s / len(logs)) for log in logs)

    @property
    def pending(self) -> bool:
        """Whether the last poll left something to read."""
        return any(log.pending for log in self._logs.values())

    @property
    def notes(self) -> list[str]:
        """What is amiss, in words; of several runs with the run's name."""
        reading = ["reading the log …"] if self.pending else []
        alone = len(self._logs) == 1
        return reading + [note if alone else f"{run}: {note}" for run, log in self for note in log.notes]

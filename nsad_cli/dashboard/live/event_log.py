"""Reader of a run's event log: time series of its metrics, read incrementally while the log grows."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from nsad_cli.dashboard.live.file_tail import FileTail
from nsad_cli.dashboard.live.growable_array import GrowableArray
from nsad_cli.runs.event_log import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nsad_cli.dashboard.live.series import Series

LABELS = ("model", "benchmark")
"""Metrics with text values: an evaluation's models and benchmarks, each of which is a separate stage here."""
MAX_NUMBER = 1e100
"""Larger numbers are treated as not finite, so that sums of the others cannot overflow."""
MAX_STEP = 1e15
"""Events with a larger step are rejected; below it, floats represent integers exactly."""
POLL_SECONDS = 0.02
"""Approximate maximum duration of one poll in seconds."""
NOTE_SECONDS = 30.0
"""Seconds for which the note that the log was reread is shown."""


class _Table:
    """Events of one stage that have the same metrics, in order of step."""

    __slots__ = ("columns", "names", "steps", "times")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.steps, self.times = GrowableArray(), GrowableArray()
        self.columns = [GrowableArray() for _ in names]

    def truncate(self, step: float) -> None:
        """Remove the events of this step and later ones."""
        size = self.steps.index_of(step)
        for column in (self.steps, self.times, *self.columns):
            column.truncate(size)


class _Stage:
    """The events of one stage."""

    __slots__ = ("last_step", "tables")

    def __init__(self) -> None:
        self.tables: dict[tuple[str, ...], _Table] = {}
        self.last_step = -math.inf


class EventLogReader:
    """The numbers in an event log, by stage and dotted name (`loss`, `beta.q50`, `gpus.0.percent`).

    A number that is not finite is NaN. If a stage returns to an earlier step, it was resumed or run again: its events
    from that step on are replaced, so a series contains only the latest training.

    Args:
        path: The event log.
        clock: Returns monotonic seconds; tests pass a fixed time.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = path, clock
        self._tail = FileTail(path)
        self._restarted = -math.inf
        self.rewritten = 0
        """How often events were replaced; see the class."""
        self._reset()

    def _reset(self) -> None:
        self._stages: dict[str, _Stage] = {}
        self._restarts = self._tail.restarts
        self._unreadable = 0
        self._last: tuple[float, str, int, int, dict[str, Any]] | None = None
        self.latest_stage: str | None = None
        """The stage of the last event, including its labels."""

    # --- reading --------------------------------------------------------------------------------------------------

    def poll(self, budget_s: float = POLL_SECONDS) -> bool:
        """Read new lines for about `budget_s` seconds, at least one chunk; return whether there were any."""
        until = time.monotonic() + budget_s
        new = False
        while True:
            lines = self._tail.read()
            if self._restarts != self._tail.restarts:
                self._reset()
                self._restarted = self._clock()
                self.rewritten += 1
                new = True
            for line in lines:
                self._add(line)
            new = new or bool(lines)
            if not self._tail.pending or time.monotonic() >= until:
                return new

    @property
    def pending(self) -> bool:
        """Whether the last poll left unread data."""
        return self._tail.pending

    @property
    def notes(self) -> list[str]:
        """Problems with the log, as messages."""
        notes = [f"{self.path.name} {self._tail.note}"] if self._tail.note else []
        if self._clock() - self._restarted < NOTE_SECONDS:
            notes.append(f"{self.path.name} was truncated or replaced, and read again")
        if bad := self._unreadable + self._tail.skipped_lines:
            notes.append(f"{bad:,} line{'s' * (bad > 1)} of {self.path.name} cannot be read")
        return notes

    def _add(self, line: bytes) -> None:
        from pydantic_core import from_json  # four times as fast as json

        if not line or line.isspace():
            return
        try:
            value = from_json(line)
            event = value["time"], value["stage"], value["step"], value["total"], value["metrics"]
            time_s, stage, step, total, metrics = event
            if type(stage) is not str or not math.isfinite(time_s + total) or not abs(step) <= MAX_STEP:
                raise ValueError
            for label in LABELS:
                if label in metrics and type(metrics[label]) is str:
                    stage = f"{stage} {metrics[label]}"
            numbers: dict[str, float] = {}
            _flatten(metrics.items(), "", numbers)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            self._unreadable += 1
            return
        self._last, self.latest_stage = event, stage
        self._put(stage, step, time_s, numbers)

    def _put(self, name: str, step: float, time_s: float, numbers: dict[str, float]) -> None:
        stage = self._stages.get(name)
        if stage is None:
            stage = self._stages[name] = _Stage()
        if step < stage.last_step:
            self.rewritten += 1
            for table in stage.tables.values():
                table.truncate(step)
        stage.last_step = step
        if not numbers:
            return
        names = tuple(numbers)
        if names not in stage.tables:
            stage.tables[names] = _Table(names)
        table = stage.tables[names]
        if table.steps.last() == step:
            table.truncate(step)
        table.steps.append(step)
        table.times.append(time_s)
        for column, number in zip(table.columns, numbers.values(), strict=True):
            column.append(number)

    # --- the data -------------------------------------------------------------------------------------------------

    @property
    def stages(self) -> list[str]:
        """The stages that have events, in order of their first event."""
        return list(self._stages)

    @property
    def last(self) -> Event | None:
        """The last event of the log."""
        return None if self._last is None else Event(*self._last)

    def metrics(self, stage: str) -> list[str]:
        """Return the dotted names of a stage's metrics, in order of appearance."""
        tables = self._stages[stage].tables.values() if stage in self._stages else ()
        return list(dict.fromkeys(name for table in tables if len(table.steps) for name in table.names))

    def series(self, stage: str, metric: str) -> Series:
        """Return one metric over the steps; empty if there is none. Its arrays are valid until the next poll."""
        import numpy as np

        from nsad_cli.dashboard.live.series import Series

        tables = self._stages[stage].tables.values() if stage in self._stages else ()
        parts = [
            Series(table.steps.array(), table.columns[table.names.index(metric)].array(), table.times.array())
            for table in tables
            if metric in table.names and len(table.steps)
        ]
        if len(parts) < 2:
            return parts[0] if parts else Series(np.empty(0), np.empty(0), np.empty(0))
        steps = np.concatenate([part.steps for part in parts])
        order = np.argsort(steps, kind="stable")
        values, times = (np.concatenate([getattr(part, name) for part in parts])[order] for name in ("values", "times"))
        return Series(steps[order], values, times)

    def group(self, stage: str, name: str) -> list[str]:
        """Return the metrics with a prefix, e.g. every `alpha.LAYER` for `alpha`."""
        return [metric for metric in self.metrics(stage) if metric.startswith(f"{name}.")]


def _flatten(items: Any, prefix: str, into: dict[str, float]) -> None:
    """Collect numbers by dotted name; null becomes NaN, strings and booleans are skipped."""
    for key, value in items:
        kind = type(value)
        if kind is float or kind is int:
            into[f"{prefix}{key}"] = value if -MAX_NUMBER <= value <= MAX_NUMBER else math.nan
        elif value is None:
            into[f"{prefix}{key}"] = math.nan
        elif kind is dict:
            _flatten(value.items(), f"{prefix}{key}.", into)
        elif kind is list:
            _flatten(enumerate(value), f"{prefix}{key}.", into)

"""A run's event log: JSON lines, appended by the process that runs a stage and read by displays and tests."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.files import write_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRESS_INTERVAL_SECONDS = 0.5
"""Shortest time between two events of a progress callback."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log: `step` of `total` in `stage`, with named metrics; `time` is in seconds since the epoch."""

    time: float
    stage: str
    step: int
    total: int
    metrics: dict[str, Any]


class EventLog:
    """The events.jsonl of a run; it is only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event that this process emits, after it has been written."""
        self._listeners.append(listener)

    def emit(self, stage: str, step: int, total: int, **metrics: Any) -> None:
        """Append one event; only the main process does. A number that is not finite is written as null.

        Raises:
            NsadError: The disk is full, or the file cannot be written.
        """
        if not is_main_process():
            return
        event = Event(time.time(), stage, step, total, metrics)
        line = json.dumps(
            {"time": round(event.time, 3), "stage": stage, "step": step, "total": total, "metrics": _finite(metrics)},
            ensure_ascii=False,
            allow_nan=False,
        )
        try:
            # One write of a whole line in append mode; a line that a killed process left incomplete is ended first.
            with self.path.open("ab+") as file:
                if file.tell() and _last_byte(self.path) != b"\n":
                    file.write(b"\n")
                file.write(line.encode() + b"\n")
        except OSError as error:
            raise write_error(self.path, error) from error
        for listener in self._listeners:
            listener(event)

    def progress(self, stage: str, **labels: str) -> Callable[..., None]:
        """Make a progress callback that emits at most two events a second, and the last one always.

        Args:
            stage: The stage of the events.
            **labels: Metrics that every event gets.

        Returns:
            A function of the steps done, the total, the tokens so far (0 if unknown) and further metrics.
        """
        started = last = time.monotonic()

        def report(done: int, total: int, tokens: int = 0, **more: float) -> None:
            nonlocal last
            now = time.monotonic()
            if done < total and now - last < PROGRESS_INTERVAL_SECONDS:
                return
            last = now
            speed = {"tokens": tokens, "tokens_per_second": round(tokens / max(now - started, 1e-9), 1)}
            self.emit(stage, done, total, **labels, **(speed if tokens else {}), **more)

        return report

    def read(self) -> Iterator[Event]:
        """Iterate over the events in order; an incomplete line is skipped."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for raw in file:
                try:
                    value = json.loads(raw)
                    yield Event(value["time"], value["stage"], value["step"], value["total"], value["metrics"])
                except (ValueError, KeyError, TypeError):
                    continue


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)

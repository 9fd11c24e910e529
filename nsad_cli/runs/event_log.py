"""A run's event log: JSON lines, appended by the process that runs a stage."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.files import open_no_link, write_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRESS_INTERVAL_SECONDS = 0.5
"""The minimum time between two events of a progress callback."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log: `step` of `total` in `stage`, with named metrics; `time` is in seconds since the epoch."""

    time: float
    stage: str
    step: int
    total: int
    metrics: dict[str, Any]


class EventLog:
    """The append-only events.jsonl of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._callbacks: list[Callable[[Event], None]] = []

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Register a callback for every event that this process emits; it is called after the event is written."""
        self._callbacks.append(callback)

    def unsubscribe(self, callback: Callable[[Event], None]) -> None:
        """Remove a registered callback."""
        self._callbacks.remove(callback)

    @property
    def size(self) -> int:
        """The size of the log in bytes; 0 if it does not exist."""
        return self.path.stat().st_size if self.path.exists() else 0

    def emit(self, stage: str, step: int, total: int, **metrics: Any) -> None:
        """Append an event, in the main process only; numbers that are not finite are written as null.

        Raises:
            NsadError: The disk is full, the file cannot be written, or it is a symbolic link.
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
            # A line is one write in append mode; an incomplete line of a killed process is terminated first.
            with open(self.path, "ab+", opener=open_no_link) as file:
                if file.tell() and _last_byte(self.path) != b"\n":
                    file.write(b"\n")
                file.write(line.encode() + b"\n")
        except OSError as error:
            raise write_error(self.path, error) from error
        for callback in self._callbacks:
            callback(event)

    def progress(self, stage: str, **labels: str) -> Callable[..., None]:
        """Create a progress callback that emits at most two events per second, and always the last one.

        Args:
            stage: The stage of the events.
            **labels: Metrics that are added to every event.

        Returns:
            A function of the steps done, the total, the tokens so far (0 if unknown) and further metrics.
        """
        started = last = time.monotonic()

        def report(done: int, total: int, tokens: int = 0, **more: Any) -> None:
            nonlocal last
            now = time.monotonic()
            if done < total and now - last < PROGRESS_INTERVAL_SECONDS:
                return
            last = now
            speed = {"tokens": tokens, "tokens_per_second": round(tokens / max(now - started, 1e-9), 1)}
            self.emit(stage, done, total, **labels, **(speed if tokens else {}), **more)

        return report

    def read(self, start: int = 0, end: int | None = None) -> Iterator[Event]:
        """Iterate over the events in order; an incomplete line is skipped.

        Args:
            start: The offset in bytes at which a line begins.
            end: The offset in bytes at which to stop; None for the end of the log.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(start)
            for raw in file:
                start += len(raw)
                if end is not None and start > end:
                    return
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

"""Reading of a run's folder: the stages in its manifest and its last events, reread when a file has changed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nsad_cli.runs.run import Run

TAIL_BYTES = (16 * 1024, 128 * 1024)
"""Bytes read from the end of an event log; the second number if the first yields fewer than MAX_EVENTS events."""
MAX_EVENTS = 40

display_name = functools.lru_cache(maxsize=4096)(escape_controls)
"""Escape a name for display; cached, because the same names occur in every event."""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage in a manifest: `seconds` is its total duration, `error` why it ended early."""

    name: str
    state: str
    started: float
    seconds: float | None
    result: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event: its stage, its part of the stage (model, benchmark), and its losses; NaN if a loss was not finite."""

    time: float
    stage: str
    part: tuple[str, ...]
    step: int
    total: int
    loss: float | None
    held_out_loss: float | None


FileStamp = tuple[int, int] | None
"""Modification time and size of a file; None if it does not exist."""


@dataclass(slots=True)
class RunFiles:
    """A run's folder, and the data read from it.

    Attributes:
        stamps: The current stamps of the manifest and the event log.
        read_stamps: Their stamps when they were last read.
        why: Why the run cannot be read; empty if it can.
        gone: Whether the manifest no longer exists.
        unchanged_since: Monotonic time of the first check, or of the last change seen.
        changes_seen: Whether a change has been seen since the first check.
    """

    run: Run
    stamps: tuple[FileStamp, FileStamp] = (None, None)
    read_stamps: tuple[FileStamp, FileStamp] = (None, None)
    stages: Sequence[StageRecord] = ()
    events: Sequence[EventRecord] = ()
    created: float | None = None
    version: str = ""
    why: str = ""
    gone: bool = False
    unchanged_since: float | None = None
    changes_seen: bool = False

    @property
    def changed(self) -> bool:
        """Whether the files have changed since they were read."""
        return self.stamps != self.read_stamps

    def check(self, monotonic_now: float) -> tuple[int, int]:
        """Update the stamps; return the manifest's last known stamp, by which runs are sorted.

        Args:
            monotonic_now: Monotonic time in seconds.
        """
        stamp = _file_stamp(self.run.path / "manifest.json")
        self.gone = stamp is None
        if stamp is None:
            self.why = "its folder was deleted" if not self.run.path.is_dir() else "its manifest.json was deleted"
            self.read_stamps = (None, None)
            return self.stamps[0] or (0, 0)
        stamps = (stamp, _file_stamp(self.run.path / "events.jsonl"))
        if self.unchanged_since is None or stamps != self.stamps:
            self.changes_seen, self.unchanged_since = self.unchanged_since is not None, monotonic_now
        self.stamps = stamps
        return stamp

    def read_changes(self) -> None:
        """Read the manifest and the end of the event log, each only if it has changed."""
        manifest, events = self.stamps
        if manifest != self.read_stamps[0]:
            try:
                self.stages, self.created, self.version = _manifest(self.run)
                self.why = ""
            except NsadError as error:
                why = error.why.replace(f"{self.run.path}{os.sep}", "")
                self.why = escape_controls(f"{error.what}: {why}".removeprefix(f"run `{self.run.name}` "))
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
                self.why = escape_controls(f"its manifest.json is not a run manifest ({type(error).__name__}: {error})")
        if events != self.read_stamps[1]:
            self.events = _last_events(self.run.path / "events.jsonl") if events else []
        self.read_stamps = self.stamps

    def busy(self) -> bool:
        """Return whether a process is working on the run."""
        try:
            return not self.gone and self.run.busy()
        except OSError:  # another user's lock, which cannot be read: rely on the manifest's state
            return True


def _file_stamp(path: Path) -> FileStamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _manifest(run: Run) -> tuple[list[StageRecord], float, str]:
    manifest = run.manifest()
    stages = []
    for name, entry in manifest["stages"].items():
        result = {key: value for key, value in (entry.get("result") or {}).items() if key != "problem_ids"}
        seconds = entry.get("seconds")
        stages.append(
            StageRecord(
                display_name(str(name)),
                display_name(str(entry["state"])),
                float(entry.get("started", 0.0)),
                None if seconds is None else float(seconds),
                result,
                " ".join(escape_controls(str(entry.get("error", ""))).split()),
            )
        )
    return stages, float(manifest["created"]), str(manifest["versions"].get("nsad", ""))


def _last_events(path: Path) -> list[EventRecord]:
    """Read the last events of a log, in order; truncated lines and lines that are not events are skipped."""
    lines: list[bytes] = []
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for tail in TAIL_BYTES:
            file.seek(max(size - tail, 0))
            lines = file.read(tail).split(b"\n")
            if len(lines) > MAX_EVENTS or tail >= size:
                break
    return [event for line in lines[-MAX_EVENTS:] if (event := _event(line)) is not None]


def _event(line: bytes) -> EventRecord | None:
    try:
        value = json.loads(line)
        metrics = value["metrics"]
        labels = [metrics[name] for name in ("model", "benchmark") if isinstance(metrics.get(name), str)]
        return EventRecord(
            float(value["time"]),
            display_name(str(value["stage"])),
            tuple(map(display_name, labels)),
            int(value["step"]),
            int(value["total"]),
            _number(metrics, "loss"),
            _number(metrics, "held_out_loss"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _number(metrics: Mapping[str, Any], name: str) -> float | None:
    """Return a metric; None if it is absent, NaN if it was not finite (null in the log)."""
    if name not in metrics:
        return None
    return float("nan") if metrics[name] is None else float(metrics[name])

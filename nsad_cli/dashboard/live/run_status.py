"""Status of a run, derived from its files: state, stage, progress, time left and headline metric."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import STUDENT, TRAINING
from nsad_cli.dashboard.live.run_files import EventRecord, RunFiles, StageRecord, display_name
from nsad_cli.utils.durations import CLOCK_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STALL_SECONDS, STALL_FACTOR = 120.0, 5.0
"""A run has stalled after STALL_SECONDS without an event, or STALL_FACTOR times its longest recent pause if longer."""
LOADING_SECONDS = 600.0
"""The stall timeout before a stage's first event, while the model is loaded or downloaded."""
PACE_EVENTS = 24
"""Maximum number of events from which a stage's pace is estimated."""
BREAK_FACTOR = 20.0
"""A pause longer than this multiple of the median one is excluded from the pace: the run was stopped and resumed."""
MANIFEST_STAGES = {stage.sampling_event: stage.name for stage in TRAINING if stage.samples_from}
"""Maps stages of the event log to the manifest's stages that they are part of."""
RULES = ("asc", "sc", None)
"""Voting rules whose accuracy may be a run's headline metric, in order of preference; None is greedy decoding."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The headline metric of a run: its kind, what it was measured on, and its value (for an accuracy, a fraction)."""

    kind: str
    of: str
    value: float

    @property
    def text(self) -> str:
        """The formatted value; `NaN` for a loss that was not finite."""
        if self.value != self.value:
            return "NaN"
        return f"{self.value:.1%}" if self.kind == "accuracy" else f"{self.value:.3f}"


@dataclass(frozen=True, slots=True)
class RunRow:
    """The status of a run.

    Attributes:
        state: running, stalled, finished, failed, interrupted, stopped (the manifest says running, but no process is
            working on it), empty, unreadable, gone, or reading (not read yet).
        why: The error, for states that have one.
        seconds_left: Estimated seconds to the end of the current stage or part.
        idle_seconds: Seconds since the last event, while the run is in progress; measured by this process's monotonic
            clock if the run's clock and this machine's disagree.
        latest_time: The latest time in the run's files; if it is in the future, one of the clocks is wrong.
    """

    name: str
    path: Path
    state: str
    stage: str = ""
    part: str = ""
    step: int | None = None
    total: int | None = None
    seconds_left: float | None = None
    idle_seconds: float | None = None
    latest_time: float | None = None
    headline: Headline | None = None
    why: str = ""
    created: float | None = None
    version: str = ""
    stages: Sequence[StageRecord] = ()
    chosen: bool = False


def run_row(files: RunFiles, now: float, monotonic_now: float, busy: bool, chosen: bool) -> RunRow:
    """Derive the status of a run.

    Args:
        files: The data read from the run's folder.
        now: Seconds since 1970, by this machine's clock.
        monotonic_now: Monotonic time in seconds.
        busy: Whether a process is working on the run.
        chosen: Whether the run is the chosen one of its folder.
    """
    row = RunRow(
        display_name(files.run.name), files.run.path, "gone", why=files.why, created=files.created, chosen=chosen
    )
    if files.gone or files.why or files.read_stamps[0] is None:
        return row if files.gone else replace(row, state="unreadable" if files.why else "reading")
    # A clock may have been set back, so a running stage takes precedence over one with a later start time.
    last = max(files.stages, key=lambda stage: (busy and stage.state == "running", stage.started), default=None)
    last_event = files.events[-1] if files.events else None
    # `nsad eval` writes events but no stage of the manifest, so the last event determines the stage then.
    if last_event is not None and (last is None or (busy and last.state != "running")):
        stage, since = MANIFEST_STAGES.get(last_event.stage, last_event.stage), 0.0
    else:
        stage, since = (last.name, last.started) if last else ("", 0.0)
    if since > now and (last_event is None or last_event.time < since):
        since = 0.0  # the clock was set back, so events from before and after the start cannot be distinguished
    own_events = [
        item for item in files.events if MANIFEST_STAGES.get(item.stage, item.stage) == stage and item.time >= since - 1
    ]
    times = [files.created or 0.0, *(item.started for item in files.stages), *(event.time for event in files.events)]
    idle_seconds = _idle_seconds(files, last, own_events, now, monotonic_now) if busy else None
    state = _state(last, own_events, idle_seconds)
    row = replace(
        row,
        state=state,
        stage=stage,
        idle_seconds=idle_seconds,
        latest_time=max(times),
        headline=_headline(files.stages, files.events, stage),
        why=last.error if last and state in ("failed", "interrupted") else "",
        version=files.version,
        stages=files.stages,
    )
    if not own_events:
        return row
    own, seconds_left = own_events[-1], None
    if state == "running" and idle_seconds is not None:
        seconds_left = _seconds_left(own_events, idle_seconds)
    return replace(
        row, stage=own.stage, part=" ".join(own.part), step=own.step, total=own.total, seconds_left=seconds_left
    )


def _idle_seconds(
    files: RunFiles, last: StageRecord | None, own_events: Sequence[EventRecord], now: float, monotonic_now: float
) -> float:
    """Return the seconds since a running run's last event or change.

    They are measured by the wall clock if the run's clock and this machine's agree. The clocks disagree if the run's
    latest time is in the future, or if a change was just seen whose time is long past; then they are measured by when
    this process saw the files change.
    """
    by_clock = now - max([last.started if last else files.created or now, *(event.time for event in own_events)])
    seen = monotonic_now - (monotonic_now if files.unchanged_since is None else files.unchanged_since)
    if by_clock < -CLOCK_TOLERANCE_SECONDS:
        return seen
    return max(min(by_clock, seen) if files.changes_seen else by_clock, 0.0)


def _state(last: StageRecord | None, own_events: Sequence[EventRecord], idle_seconds: float | None) -> str:
    """Return the state; `idle_seconds` is None if no process is working on the run."""
    if idle_seconds is not None:
        return "stalled" if idle_seconds > _stall_timeout(own_events) else "running"
    if last is None:
        return "empty"
    return "stopped" if last.state == "running" else last.state


def _stall_timeout(own_events: Sequence[EventRecord]) -> float:
    """Return the seconds without an event after which a run has stalled."""
    pauses = _pauses(_events_since_break(own_events))
    return max([STALL_SECONDS, *(STALL_FACTOR * pause for pause in pauses)]) if own_events else LOADING_SECONDS


def _events_since_break(own_events: Sequence[EventRecord]) -> Sequence[EventRecord]:
    """Return the latest events since the last long pause, because a resumed evaluation does not log its restart."""
    recent = own_events[-PACE_EVENTS:]
    pauses = _pauses(recent)
    long = max(STALL_SECONDS, BREAK_FACTOR * sorted(pauses)[len(pauses) // 2]) if pauses else STALL_SECONDS
    return recent[max((place for place, pause in enumerate(pauses, 1) if pause > long), default=0) :]


def _pauses(events: Sequence[EventRecord]) -> list[float]:
    return [later.time - earlier.time for earlier, later in itertools.pairwise(events)]


def _seconds_left(own_events: Sequence[EventRecord], idle_seconds: float) -> float | None:
    """Estimate the seconds to the end of the last event's stage and part, at the pace of the events before it."""
    last = first = own_events[-1]
    for event in reversed(_events_since_break(own_events)):
        same = (event.stage, event.part, event.total) == (last.stage, last.part, last.total)
        if not same or event.step > first.step or event.time > first.time:
            break
        first = event
    done, took = last.step - first.step, last.time - first.time
    if last.step >= last.total:
        return 0.0
    if not done or took <= 0:
        return None
    return max((last.total - last.step) * took / done - idle_seconds, 0.0)


def _headline(stages: Sequence[StageRecord], events: Sequence[EventRecord], stage: str) -> Headline | None:
    """Return the student's accuracy, else the latest held-out loss, else the latest loss, else the base's accuracy."""
    by_name = {item.name: item for item in stages}
    accuracy = _accuracy(by_name.get("eval"))
    if accuracy is not None:
        return accuracy
    of_stage = [event for event in events if event.stage == stage]
    held_out = [event.held_out_loss for event in of_stage if event.held_out_loss is not None]
    losses = [event.loss for event in of_stage if event.loss is not None]
    for name, values in (("held-out loss", held_out), ("loss", losses)):
        if values:
            return Headline(name, stage, values[-1])
    for item in sorted(stages, key=lambda item: item.started, reverse=True):
        value = item.result.get("held_out_loss")
        if isinstance(value, int | float):
            return Headline("held-out loss", item.name, float(value))
    return _accuracy(by_name.get("eval-before"))


def _accuracy(stage: StageRecord | None) -> Headline | None:
    """Return the accuracy on the first benchmark, by the preferred rule, of the student or the last model measured."""
    found = [row for row in accuracies(stage.result) if row["rule"] in RULES] if stage else []
    models = [row["model"] for row in found]
    if not found:
        return None
    model = STUDENT.name if STUDENT.name in models else models[-1]
    own_events = [row for row in found if row["model"] == model]
    row = min(
        (row for row in own_events if row["benchmark"] == own_events[0]["benchmark"]),
        key=lambda row: RULES.index(row["rule"]),
    )
    return Headline("accuracy", f"{model}, {row['rule'] or 'greedy'}, {row['benchmark']}", row["accuracy"])


def accuracies(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an evaluation's result: benchmark, model, rule (None: greedy decoding), accuracy."""
    rows = result.get("results")
    keys = ("benchmark", "model", "rule", "accuracy")
    return [
        {key: display_name(value) if isinstance(value := row.get(key), str) else value for key in keys}
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and isinstance(row.get("accuracy"), int | float)
    ]

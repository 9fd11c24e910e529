"""What the files of a run mean: its state, stage, progress, time left and key figure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import STUDENT, TRAINING
from nsad_cli.dashboard.durations import CLOCK_TOLERANCE_SECONDS
from nsad_cli.dashboard.live.run_files import EventRecord, RunFiles, StageRecord, display_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STALL_SECONDS, STALL_FACTOR = 120.0, 5.0
"""A run has stalled after so many seconds without an event, or after so many of its longest recent pauses."""
LOADING_SECONDS = 600.0
"""The same before a stage's first event: it loads its model, or fetches it."""
PACE_EVENTS = 24
"""Events from which a stage's pace is taken, at most."""
BREAK_FACTOR = 20.0
"""A pause so many times the usual one was no part of the pace: the process was stopped, and went on later."""
PARTS = {stage.sampling_event: stage.name for stage in TRAINING if stage.samples_from}
"""Stages of the event log that are a part of a manifest's stage."""
RULES = ("asc", "sc", None)
"""Which of a student's accuracies is a run's figure, the first that was measured; None is greedy."""


@dataclass(frozen=True, slots=True)
class Headline:
    """A number by which a run is known: what kind it is, of what, and its value (of an accuracy, a fraction)."""

    kind: str
    of: str
    value: float

    @property
    def text(self) -> str:
        """The value for people; a loss that was not finite is NaN."""
        if self.value != self.value:
            return "NaN"
        return f"{self.value:.1%}" if self.kind == "accuracy" else f"{self.value:.3f}"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as it stands.

    state: running, stalled, finished, failed, interrupted, stopped (says running, and no process is at work), empty,
        unreadable, gone, or reading (it was not its turn yet); `why` tells what is amiss.
    left: seconds to the end of what is under way, at its pace.
    silent: seconds since it was last heard, while it runs; by this process's own watch where the run's clock and this
        machine's do not agree.
    latest: the latest time that it tells of; ahead of this machine's clock where one of the two is wrong.
    """

    name: str
    path: Path
    state: str
    stage: str = ""
    part: str = ""
    step: int | None = None
    total: int | None = None
    seconds_left: float | None = None
    silent: float | None = None
    latest: float | None = None
    figure: Headline | None = None
    why: str = ""
    created: float | None = None
    version: str = ""
    stages: Sequence[StageRecord] = ()
    chosen: bool = False


def run_row(files: RunFiles, now: float, monotonic_now: float, busy: bool, chosen: bool) -> RunRow:
    """A run as it stands, while a process is at work on it (`busy`) or none is.

    now: seconds since 1970, by this machine's clock; moment: seconds that never jump.
    """
    row = RunRow(
        display_name(files.run.name), files.run.path, "gone", why=files.why, created=files.created, chosen=chosen
    )
    if files.gone or files.why or files.read_stamps[0] is None:
        return row if files.gone else replace(row, state="unreadable" if files.why else "reading")
    # A clock may have been set back: what says that it runs goes before what says that it was started later.
    last = max(files.stages, key=lambda stage: (busy and stage.state == "running", stage.started), default=None)
    heard = files.events[-1] if files.events else None
    # `nsad eval` writes events and no stage of the manifest: what is heard last tells where a run is then.
    if heard is not None and (last is None or (busy and last.state != "running")):
        stage, since = PARTS.get(heard.stage, heard.stage), 0.0
    else:
        stage, since = (last.name, last.started) if last else ("", 0.0)
    if since > now and (heard is None or heard.time < since):
        since = 0.0  # the clock was set back meanwhile: what came before and after cannot be told apart
    own_events = [
        item for item in files.events if PARTS.get(item.stage, item.stage) == stage and item.time >= since - 1
    ]
    times = [files.created or 0.0, *(item.started for item in files.stages), *(event.time for event in files.events)]
    silent = _silent(files, last, own_events, now, monotonic_now) if busy else None
    state = _state(last, own_events, silent)
    row = replace(
        row,
        state=state,
        stage=stage,
        silent=silent,
        latest=max(times),
        figure=_figure(files.stages, files.events, stage),
        why=last.error if last and state in ("failed", "interrupted") else "",
        version=files.version,
        stages=files.stages,
    )
    if not own_events:
        return row
    own, seconds_left = (
        own_events[-1],
        _seconds_left(own_events, silent) if state == "running" and silent is not None else None,
    )
    return replace(
        row, stage=own.stage, part=" ".join(own.part), step=own.step, total=own.total, seconds_left=seconds_left
    )


def _silent(
    files: RunFiles, last: StageRecord | None, own_events: Sequence[EventRecord], now: float, monotonic_now: float
) -> float:
    """Seconds for which nothing was heard of a run at work; mine: its stage's events.

    By the clock, where the run's and this machine's agree. They do not where it tells of times to come, or where what
    was just seen to arrive is told as long past: then by what this process has seen.
    """
    by_clock = now - max([last.started if last else files.created or now, *(event.time for event in own_events)])
    seen = monotonic_now - (monotonic_now if files.unchanged_since is None else files.unchanged_since)
    if by_clock < -CLOCK_TOLERANCE_SECONDS:
        return seen
    return max(min(by_clock, seen) if files.changes_seen else by_clock, 0.0)


def _state(last: StageRecord | None, own_events: Sequence[EventRecord], silent: float | None) -> str:
    """The state; silent: None where no process is at work."""
    if silent is not None:
        return "stalled" if silent > _stall_timeout(own_events) else "running"
    if last is None:
        return "empty"
    return "stopped" if last.state == "running" else last.state


def _stall_timeout(own_events: Sequence[EventRecord]) -> float:
    """Seconds without an event after which a run has stalled."""
    pauses = _pauses(_steady(own_events))
    return max([STALL_SECONDS, *(STALL_FACTOR * pause for pause in pauses)]) if own_events else LOADING_SECONDS


def _steady(own_events: Sequence[EventRecord]) -> Sequence[EventRecord]:
    """The latest events, from the last break on: an evaluation that was resumed writes nothing that tells of it."""
    recent = own_events[-PACE_EVENTS:]
    pauses = _pauses(recent)
    long = max(STALL_SECONDS, BREAK_FACTOR * sorted(pauses)[len(pauses) // 2]) if pauses else STALL_SECONDS
    return recent[max((place for place, pause in enumerate(pauses, 1) if pause > long), default=0) :]


def _pauses(events: Sequence[EventRecord]) -> list[float]:
    return [later.time - earlier.time for earlier, later in itertools.pairwise(events)]


def _seconds_left(own_events: Sequence[EventRecord], silent: float) -> float | None:
    """Seconds to the end of what the last event tells of, at the pace of the events before it."""
    last = first = own_events[-1]
    for event in reversed(_steady(own_events)):
        same = (event.stage, event.part, event.total) == (last.stage, last.part, last.total)
        if not same or event.step > first.step or event.time > first.time:
            break
        first = event
    done, took = last.step - first.step, last.time - first.time
    if last.step >= last.total:
        return 0.0
    if not done or took <= 0:
        return None
    return max((last.total - last.step) * took / done - silent, 0.0)


def _figure(stages: Sequence[StageRecord], heard: Sequence[EventRecord], stage: str) -> Headline | None:
    """The student's accuracy, else the latest loss on held-out data, else the latest loss, else the base's accuracy."""
    by_name = {item.name: item for item in stages}
    accuracy = _accuracy(by_name.get("eval"))
    if accuracy is not None:
        return accuracy
    of_stage = [event for event in heard if event.stage == stage]
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
    """Of the student (else of the model measured last) on the first benchmark, by the first of RULES that is there."""
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
    """The rows of an evaluation's result, as far as it has any: benchmark, model, rule (None: greedy), accuracy."""
    rows = result.get("results")
    keys = ("benchmark", "model", "rule", "accuracy")
    return [
        {key: display_name(value) if isinstance(value := row.get(key), str) else value for key in keys}
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and isinstance(row.get("accuracy"), int | float)
    ]

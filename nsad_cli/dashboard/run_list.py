"""Every run of a folder at a glance: its state, stage, progress, time left and key figure, from what has changed."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nsad_cli.errors import NsadError
from nsad_cli.readable import printable
from nsad_cli.runs import Run

TAILS = (16 * 1024, 128 * 1024)
"""Bytes of an event log's end that are read, the more where it takes more for so many events."""
EVENTS = 40
QUIET, TIMES = 120.0, 5.0
"""A run has stalled after so many seconds without an event, or after so many of its longest recent pauses."""
LOADING = 600.0
"""The same before a stage's first event: it loads its model, or fetches it."""
PACE = 24
"""Events from which a stage's pace is taken, at most."""
BREAK = 20.0
"""A pause so many times the usual one was no part of the pace: the process was stopped, and went on later."""
BUDGET = 0.015
"""Seconds for which one look reads what has changed, about; what is left is read by the next."""
PARTS = {"ranker-chains": "ranker", "nce-chains": "nce"}
"""Stages of the event log that are a part of a manifest's stage."""
RULES = ("asc", "sc", None)
"""Which of a student's accuracies is a run's figure, the first that was measured; None is greedy."""

_name = functools.lru_cache(maxsize=4096)(printable)
"""Names come again with every event."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a manifest: `seconds` is what it took in all, `result` what it came to, `error` why it ended early."""

    name: str
    state: str
    started: float
    seconds: float | None
    result: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class Heard:
    """An event: where it belongs (stage, model, benchmark), and its losses; nan is one that was not finite."""

    time: float
    stage: str
    part: tuple[str, ...]
    step: int
    total: int
    loss: float | None
    held_out_loss: float | None


@dataclass(frozen=True, slots=True)
class Figure:
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
    silent: seconds since it was last heard, while it runs.
    """

    name: str
    path: Path
    state: str
    stage: str = ""
    part: str = ""
    step: int | None = None
    total: int | None = None
    left: float | None = None
    silent: float | None = None
    figure: Figure | None = None
    why: str = ""
    created: float | None = None
    version: str = ""
    stages: Sequence[Stage] = ()
    chosen: bool = False


Stamp = tuple[int, int] | None
"""When a file was changed, and its size; None where it is not there."""


@dataclass(slots=True)
class _Known:
    """What was read of a run, and its files' stamps (manifest, events), as they are and as they were then."""

    run: Run
    stamps: tuple[Stamp, Stamp] = (None, None)
    read: tuple[Stamp, Stamp] = (None, None)
    stages: Sequence[Stage] = ()
    created: float | None = None
    version: str = ""
    why: str = ""
    gone: bool = False
    heard: Sequence[Heard] = ()

    row: RunRow | None = None
    row_of: tuple[object, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether its files are others than those that were read."""
        return self.stamps != self.read

    def row_at(self, now: float, chosen: bool) -> RunRow:
        """The run as it stands; made anew where something has changed, or a process is at work on it."""
        busy = not self.gone and _busy(self.run)
        row_of = (self.read, self.gone, self.why, busy, chosen)
        if self.row is None or busy or row_of != self.row_of:
            self.row, self.row_of = _row(self, now, busy, chosen), row_of
        return self.row


class RunList:
    """The runs of a folder, the one whose manifest changed last first; one that vanishes stays, as gone."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._known: dict[str, _Known] = {}
        self.pending = False
        """Whether the last look left something to read."""

    def refresh(self, now: float) -> list[RunRow]:
        """Look at every run again and read what has changed. Raises OSError where the folder cannot be read."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.home) as entries:
            for entry in entries:
                if entry.name not in self._known and os.path.isfile(os.path.join(entry.path, "manifest.json")):
                    self._known[entry.name] = _Known(Run(Path(entry.path)))
        chosen = self._chosen()
        known = sorted(self._known.values(), key=lambda item: item.run.name)
        known.sort(key=_look, reverse=True)
        until, self.pending = time.monotonic() + BUDGET, False
        for item in known:
            if not item.gone and item.changed:
                if time.monotonic() > until:
                    self.pending = True
                    break
                _read(item)
        return [item.row_at(now, item.run.name == chosen) for item in known]

    def _chosen(self) -> str | None:
        with contextlib.suppress(OSError, ValueError):
            return (self.home / ".chosen").read_text(encoding="utf-8").strip()
        return None


# --- reading ----------------------------------------------------------------------------------------------------------


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _look(known: _Known) -> tuple[int, int]:
    """Look whether a run's files have changed; returns what orders runs: when its manifest changed."""
    stamp = _stamp(known.run.path / "manifest.json")
    known.gone = stamp is None
    if stamp is None:
        known.why = "its folder is gone" if not known.run.path.is_dir() else "its manifest.json is gone"
        known.read = (None, None)
        return known.stamps[0] or (0, 0)
    known.stamps = (stamp, _stamp(known.run.path / "events.jsonl"))
    return stamp


def _read(known: _Known) -> None:
    """Read a run's manifest and the end of its event log, each where it has changed."""
    manifest, events = known.stamps
    if manifest != known.read[0]:
        try:
            known.stages, known.created, known.version = _manifest(known.run)
            known.why = ""
        except NsadError as error:
            why = error.why.replace(f"{known.run.path}{os.sep}", "")
            known.why = printable(f"{error.what}: {why}".removeprefix(f"run `{known.run.name}` "))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            known.why = printable(f"its manifest.json is no run's ({type(error).__name__}: {error})")
    if events != known.read[1]:
        known.heard = _tail(known.run.path / "events.jsonl") if events else []
    known.read = known.stamps


def _manifest(run: Run) -> tuple[list[Stage], float, str]:
    manifest = run.manifest()
    stages = []
    for name, told in manifest["stages"].items():
        result = {key: value for key, value in (told.get("result") or {}).items() if key != "problem_ids"}
        seconds = told.get("seconds")
        stages.append(
            Stage(
                _name(str(name)),
                _name(str(told["state"])),
                float(told.get("started", 0.0)),
                None if seconds is None else float(seconds),
                result,
                " ".join(printable(str(told.get("error", ""))).split()),
            )
        )
    return stages, float(manifest["created"]), str(manifest["versions"].get("nsad", ""))


def _tail(path: Path) -> list[Heard]:
    """The last events of a log, in order; lines that are no events are passed over, cut ones too."""
    lines: list[bytes] = []
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for tail in TAILS:
            file.seek(max(size - tail, 0))
            lines = file.read(tail).split(b"\n")
            if len(lines) > EVENTS or tail >= size:
                break
    return [event for line in lines[-EVENTS:] if (event := _event(line)) is not None]


def _event(line: bytes) -> Heard | None:
    try:
        value = json.loads(line)
        metrics = value["metrics"]
        labels = [metrics[name] for name in ("model", "benchmark") if isinstance(metrics.get(name), str)]
        return Heard(
            float(value["time"]),
            _name(str(value["stage"])),
            tuple(map(_name, labels)),
            int(value["step"]),
            int(value["total"]),
            _number(metrics, "loss"),
            _number(metrics, "held_out_loss"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _number(metrics: Mapping[str, Any], name: str) -> float | None:
    """A metric; None where there is none, nan where it was not finite (logs have null there)."""
    if name not in metrics:
        return None
    return float("nan") if metrics[name] is None else float(metrics[name])


# --- what it means ----------------------------------------------------------------------------------------------------


def _row(known: _Known, now: float, busy: bool, chosen: bool) -> RunRow:
    row = RunRow(_name(known.run.name), known.run.path, "gone", why=known.why, created=known.created, chosen=chosen)
    if known.gone or known.why or known.read[0] is None:
        return row if known.gone else replace(row, state="unreadable" if known.why else "reading")
    last = max(known.stages, key=lambda stage: stage.started, default=None)
    heard = known.heard[-1] if known.heard else None
    # `nsad eval` writes events and no stage of the manifest: what is heard last tells where a run is then.
    if heard is not None and (last is None or (busy and last.state != "running")):
        stage, since = PARTS.get(heard.stage, heard.stage), 0.0
    else:
        stage, since = (last.name, last.started) if last else ("", 0.0)
    if since > now:  # the clock was set back meanwhile: what came before and after cannot be told apart
        since = 0.0
    mine = [item for item in known.heard if PARTS.get(item.stage, item.stage) == stage and item.time >= since - 1]
    state, silent = _state(known, last, mine, busy, now)
    row = replace(
        row,
        state=state,
        stage=stage,
        silent=silent,
        figure=_figure(known.stages, known.heard, stage),
        why=last.error if last and state in ("failed", "interrupted") else "",
        version=known.version,
        stages=known.stages,
    )
    if not mine:
        return row
    own, left = mine[-1], _left(mine, now) if state == "running" else None
    return replace(row, stage=own.stage, part=" ".join(own.part), step=own.step, total=own.total, left=left)


def _busy(run: Run) -> bool:
    try:
        return run.busy()
    except OSError:  # a lock of somebody else's: who may not look takes the manifest's word
        return True


def _state(
    known: _Known, last: Stage | None, mine: Sequence[Heard], busy: bool, now: float
) -> tuple[str, float | None]:
    """The state, and for how long nothing was heard of a run at work; mine: its stage's events."""
    if not busy:
        if last is None:
            return "empty", None
        return ("stopped" if last.state == "running" else last.state), None
    since = max([last.started if last else known.created or now, *(event.time for event in mine)])
    silent = max(now - since, 0.0)
    return ("stalled" if silent > _patience(mine) else "running"), silent


def _patience(mine: Sequence[Heard]) -> float:
    """Seconds without an event after which a run has stalled."""
    pauses = _pauses(_steady(mine))
    return max([QUIET, *(TIMES * pause for pause in pauses)]) if mine else LOADING


def _steady(mine: Sequence[Heard]) -> Sequence[Heard]:
    """The latest events, from the last break on: an evaluation that was resumed writes nothing that tells of it."""
    recent = mine[-PACE:]
    pauses = _pauses(recent)
    long = max(QUIET, BREAK * sorted(pauses)[len(pauses) // 2]) if pauses else QUIET
    return recent[max((place for place, pause in enumerate(pauses, 1) if pause > long), default=0) :]


def _pauses(events: Sequence[Heard]) -> list[float]:
    return [later.time - earlier.time for earlier, later in itertools.pairwise(events)]


def _left(mine: Sequence[Heard], now: float) -> float | None:
    """Seconds to the end of what the last event tells of, at the pace of the events before it."""
    last = first = mine[-1]
    for event in reversed(_steady(mine)):
        same = (event.stage, event.part, event.total) == (last.stage, last.part, last.total)
        if not same or event.step > first.step or event.time > first.time:
            break
        first = event
    done, took = last.step - first.step, last.time - first.time
    if last.step >= last.total:
        return 0.0
    if not done or took <= 0:
        return None
    return max((last.total - last.step) * took / done - max(now - last.time, 0.0), 0.0)


def _figure(stages: Sequence[Stage], heard: Sequence[Heard], stage: str) -> Figure | None:
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
            return Figure(name, stage, values[-1])
    for item in sorted(stages, key=lambda item: item.started, reverse=True):
        value = item.result.get("held_out_loss")
        if isinstance(value, int | float):
            return Figure("held-out loss", item.name, float(value))
    return _accuracy(by_name.get("eval-before"))


def _accuracy(stage: Stage | None) -> Figure | None:
    """Of the student (else of the model measured last) on the first benchmark, by the first of RULES that is there."""
    found = [row for row in accuracies(stage.result) if row["rule"] in RULES] if stage else []
    models = [row["model"] for row in found]
    if not found:
        return None
    model = "nce" if "nce" in models else models[-1]
    mine = [row for row in found if row["model"] == model]
    row = min(
        (row for row in mine if row["benchmark"] == mine[0]["benchmark"]), key=lambda row: RULES.index(row["rule"])
    )
    return Figure("accuracy", f"{model}, {row['rule'] or 'greedy'}, {row['benchmark']}", row["accuracy"])


def accuracies(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an evaluation's result, as far as it has any: benchmark, model, rule (None: greedy), accuracy."""
    rows = result.get("results")
    keys = ("benchmark", "model", "rule", "accuracy")
    return [
        {key: _name(value) if isinstance(value := row.get(key), str) else value for key in keys}
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and isinstance(row.get("accuracy"), int | float)
    ]

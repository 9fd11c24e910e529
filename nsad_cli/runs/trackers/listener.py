"""The listener that passes a run's events on to trackers; a tracker that fails never stops a stage."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

from nsad_cli.errors import NsadError, first_line
from nsad_cli.runs.trackers.packages import require_trackers
from nsad_cli.runs.trackers.tensorboard import TensorBoardTracker
from nsad_cli.runs.trackers.trackio import TrackioTracker
from nsad_cli.runs.trackers.values import event_values, result_values
from nsad_cli.runs.trackers.wandb import WandbTracker
from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nsad_cli.runs.event_log import Event
    from nsad_cli.runs.run import Run

FILE = "trackers.json"
"""For each stage its key, and the size of the event log when the stage was first tracked with it."""


class Tracker(Protocol):
    """An open run of a tracker; its constructor takes the run, and continues the tracker's run of `run.identifier`."""

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Log numbers by name at a step of a stage."""

    def close(self, failed: bool) -> None:
        """Send what is left; `failed`: the command ends by an error or an interrupt."""


TRACKERS: dict[str, Callable[[Run], Tracker]] = {
    "tensorboard": TensorBoardTracker,
    "trackio": TrackioTracker,
    "wandb": WandbTracker,
}


@contextlib.contextmanager
def tracking(run: Run) -> Iterator[None]:
    """Report the events within the context to the trackers of the run's recipe, in the main process.

    The trackers start with the first event, so that a command that has nothing left to do starts none.

    Raises:
        NsadError: A tracker cannot be used; see require_trackers.
    """
    names = run.recipe.report_to
    require_trackers(names)
    if not names or not is_main_process():
        yield
        return
    listener = TrackerListener(run, names)
    run.events.subscribe(listener)
    failed = True
    try:
        yield
        failed = False
    finally:
        run.events.unsubscribe(listener)
        listener.close(failed)


class TrackerListener:
    """A callback of an event log that logs each event to trackers."""

    def __init__(self, run: Run, names: Sequence[str]) -> None:
        self._run, self._waiting = run, list(names)
        self._open: dict[str, Tracker] = {}
        self._sent = SentSteps(run)

    def __call__(self, event: Event) -> None:
        """Log the numbers of an event, without steps that an interrupted process has logged before."""
        if not self._waiting and not self._open:
            return
        try:
            values = self._sent.new(event, event_values(event))
        except Exception as error:  # such as a full disk, which must stop a stage only by what the stage writes
            self._waiting, self._open = [], {}
            note(f"trackers: not reported to from here on: {first_line(error)}")
            return
        if values:
            self._log(event.stage, event.step, values)

    def _log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        while self._waiting:
            name = self._waiting.pop(0)
            self._call(name, self._start, name)
        for name, tracker in list(self._open.items()):
            self._call(name, tracker.log, stage, step, values)

    def _start(self, name: str) -> None:
        self._open[name] = TRACKERS[name](self._run)

    def close(self, failed: bool) -> None:
        """Log the accuracies of evaluations that ended within the context, and close the trackers."""
        if not self._open:
            return
        with contextlib.suppress(NsadError):  # a damaged manifest, which the stage has reported
            records = self._run.stages()
            for stage in self._sent.stages:
                rows = records.get(stage, {}).get("result", {}).get("results")
                if rows:
                    self._log(stage, 1, result_values(stage, rows))
        for name, tracker in list(self._open.items()):
            self._call(name, tracker.close, failed)

    def _call(self, name: str, action: Callable[..., None], *arguments: Any) -> None:
        """Call a tracker, whose output goes to stderr; if it fails, it is left out from then on, with one note."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                action(*arguments)
        except Exception as error:  # of another package: no exception of it may stop a stage
            self._open.pop(name, None)
            note(f"{name}: not reported to from here on: {type(error).__name__}: {first_line(error)}")


class SentSteps:
    """The steps that trackers have, so that those between a checkpoint and an interrupt are not logged twice.

    They are read from the run's event log: a file remembers where in it the events of each stage's key begin.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._end = run, run.events.size
        self._steps: dict[str, dict[str, int]] = {}
        self._stage_of: dict[str, str | None] = {}

    @property
    def stages(self) -> list[str]:
        """The stages that have run within the context."""
        return list(self._steps)

    def new(self, event: Event, values: Mapping[str, float]) -> dict[str, float]:
        """Return the values without those of steps that an earlier process has logged for the same key."""
        if event.stage not in self._stage_of:
            self._stage_of[event.stage] = self._begin()
        sent = self._steps.get(self._stage_of[event.stage] or "", {})
        return {name: value for name, value in values.items() if event.step > sent.get(name, -1)}

    def _begin(self) -> str | None:
        """Return the stage that is running, and read which of its steps are sent; None outside of stages."""
        running = {name: entry for name, entry in self._run.stages().items() if entry["state"] == "running"}
        stage = max(running, key=lambda name: running[name].get("started", 0), default=None)
        if stage is None or stage in self._steps:
            return stage
        path, known = self._run.path / FILE, dict[str, Any]()
        with contextlib.suppress(OSError, ValueError):
            known = dict(json.loads(path.read_text(encoding="utf-8")))
        key, own = running[stage].get("key"), known.get(stage)
        if not isinstance(own, dict) or own.get("key") != key or not isinstance(own.get("offset"), int):
            own = {"key": key, "offset": self._end}
            write_atomic(path, json.dumps({**known, stage: own}))
        steps = self._steps[stage] = dict[str, int]()
        for event in self._run.events.read(own["offset"], self._end):
            for name in event_values(event):
                steps[name] = max(event.step, steps.get(name, -1))
        return stage

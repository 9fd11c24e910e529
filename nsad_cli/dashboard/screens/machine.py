"""The machine screen: load of the selected run's machine, from its events, and current load of this machine."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.widgets import Static

from nsad_cli.dashboard.export import ExportTable
from nsad_cli.dashboard.live.event_log import EventLogReader
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.gauges import Gauge, draw_gauges
from nsad_cli.dashboard.widgets.stage_bar import StageBar
from nsad_cli.errors import first_line
from nsad_cli.utils.durations import ago, span
from nsad_cli.utils.system_load import machine_load
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.app import ComposeResult
    from textual.geometry import Size

WINDOW_SECONDS = 300.0
"""Seconds of load history that are kept for this machine."""
SAMPLE_SECONDS = 0.4
"""Minimum seconds between two samples; the CPU load is averaged since the last one."""
REDRAW_SECONDS = 5
"""Seconds after which a run without new events is redrawn, to update the age of its last event."""
HOST_METRICS = (("cpu_percent", "CPU", "%"), ("memory_gib", "memory", "GiB"), ("process_gib", "process", "GiB"))
GPU_METRICS = (
    ("percent", "load", "%"),
    ("memory_gib", "memory", "GiB"),
    ("power_watts", "power", "W"),
    ("celsius", "heat", "°C"),
)
TOTAL_MEMORY = "memory_total_gib"


class MachinePane(Vertical):
    """A heading, and the gauges of one machine."""

    DEFAULT_CSS = """
    MachinePane { height: 1fr; width: 1fr; }
    MachinePane > .title { height: 1; padding: 0 1; background: $panel; text-style: bold; text-wrap: nowrap; }
    MachinePane > VerticalScroll { padding: 0 1; }
    """

    def compose(self) -> ComposeResult:
        """Create the heading and the scrollable gauges."""
        yield Static(classes="title", markup=False)
        with VerticalScroll():
            yield Static(classes="gauges", markup=False)

    @property
    def room(self) -> Size:
        """The size available for the gauges."""
        return self.query_one(VerticalScroll).scrollable_content_region.size

    def show(self, title: str, gauges: list[Gauge], note: str) -> None:
        """Draw the heading, the gauges, and a note below them."""
        colours, room = tints(self.app), self.room
        self.query_one(".title", Static).update(title)
        lines = note.count("\n") + 1 if note else 0
        text = draw_gauges(gauges, max(room.width - 1, 8), room.height - lines, colours["primary"], colours["dim"])
        apart = "\n" if gauges and text.plain.count("\n") + lines < room.height else ""
        self.query_one(".gauges", Static).update(text.append(f"{apart}{note}", colours["dim"]))


class MachineView(View):
    """Load of the run's machine and of this machine."""

    NAME = "machine"
    DEFAULT_CSS = """
    MachineView.-wide #machines { layout: horizontal; }
    MachineView.-wide #this { margin-left: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # Priority, because the panes bind the same keys to horizontal scrolling.
        Binding("left", "stage(-1)", "Previous stage", show=False, priority=True),
        Binding("right", "stage(1)", "Next stage", show=False, priority=True),
        Binding("f", "newest", "Follow", tooltip="Follow the latest stage"),
    ]
    load: ClassVar[Callable[[], dict[str, Any]]] = staticmethod(machine_load)

    def body(self) -> ComposeResult:
        """Create the stage bar and the panes of the two machines."""
        yield StageBar(id="stages")
        with Container(id="machines"):
            yield MachinePane(id="theirs")
            yield MachinePane(id="this")

    def on_mount(self) -> None:
        """Initialise the state."""
        self._run: str | None = None
        self._log: EventLogReader | None = None
        self._stage: str | None = None  # None: the latest stage
        self._drawn: tuple[object, ...] = ()
        self._samples: deque[tuple[float, float, dict[str, float]]] = deque()
        self._names: dict[str, list[str]] = {}
        self._sampled, self._sampling, self._failure = 0.0, False, ""

    # --- polling --------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Read the run's new events, and sample this machine's load."""
        self._sample()
        run = self.context.run
        if self._run != (run.name if run else None):
            self._run = run.name if run else None
            self._log = EventLogReader(run.path / "events.jsonl") if run else None
            self._stage = None
        new = self._log is not None and self._log.poll()
        self._show(new)

    def _sample(self) -> None:
        """Sample this machine's load in a thread, because a GPU driver may be slow."""
        if self._sampling or time.monotonic() - self._sampled < SAMPLE_SECONDS:
            return
        self._sampling = True
        self.run_worker(self._take_sample, thread=True)

    def _take_sample(self) -> None:
        try:
            load, self._failure = type(self).load(), ""
        except Exception as error:  # an error of the system or a driver must not end the dashboard
            load, self._failure = {}, f"cannot read the load of this machine: {first_line(error)}"
        finally:
            self._sampled, self._sampling = time.monotonic(), False
        self._names["this"] = [str(gpu.get("name") or "") for gpu in load.get("gpus", ())]
        self._samples.append((self._sampled, self.context.clock(), dict(_numbers(load))))
        while self._samples and self._samples[0][0] < self._sampled - WINDOW_SECONDS:
            self._samples.popleft()

    def _show(self, new: bool = True) -> None:
        """Draw both machines; the run's only if it has new events, or the selection or the size has changed."""
        self.query_one("#this", MachinePane).show(*self._this_machine())
        notes = self._log.notes if self._log else []
        reading = ["reading the log …"] if self._log and self._log.pending else []
        self.show_notice("; ".join(filter(None, [*reading, self._failure, *notes])))
        pane = self.query_one("#theirs", MachinePane)
        drawn = (self._run, self._stage, pane.room, self.app.theme, int(self.context.clock()) // REDRAW_SECONDS)
        if not new and drawn == self._drawn:
            return
        self._drawn = drawn
        stages = self._stages()
        self.query_one(StageBar).display = bool(stages)
        if stages:
            run, log = self.context.run, self._log
            live = log.latest_stage if run and log and run.busy() else None
            self.query_one(StageBar).show(stages, self._selected_stage(stages), live)
        pane.show(*self._run_machine(stages))

    def action_stage(self, by: int) -> None:
        """Select the next or previous stage."""
        stages = self._stages()
        if stages:
            self._stage = stages[max(0, min(stages.index(self._selected_stage(stages)) + by, len(stages) - 1))]
            self._show()

    def action_newest(self) -> None:
        """Follow the latest stage."""
        self._stage = None
        self._show()

    @on(StageBar.Chosen)
    def _chosen(self, event: StageBar.Chosen) -> None:
        self._stage = event.stage
        self._show()

    # --- the run's machine ----------------------------------------------------------------------------------------

    def _stages(self) -> list[str]:
        """Return the stages with load metrics."""
        log = self._log
        return [name for name in log.stages if "cpu_percent" in log.metrics(name)] if log else []

    def _selected_stage(self, stages: list[str]) -> str:
        """Return the selected stage, else the latest one."""
        return self._stage if self._stage in stages else stages[-1]

    def _run_machine(self, stages: list[str]) -> tuple[str, list[Gauge], str]:
        if self._log is None:
            return "no run selected", [], "select a run on screen 1"
        if not stages:
            title = escape_controls(self._run or "")
            return title, [], "its events contain no load metrics yet:\ntraining stages log them (nsad train-nat)"
        stage, log = self._selected_stage(stages), self._log
        metrics = log.metrics(stage)
        found = {name: log.series(stage, name) for name in metrics if name in _HOST_NAMES or name.startswith("gpus.")}
        gauges = _gauges({name: series.values for name, series in found.items()}, None, self._run_gpu_names())
        last = found["cpu_percent"]
        title = f"{escape_controls(self._run or '')} · {escape_controls(stage)}"
        age = ago(self.context.clock() - float(last.times[-1]))
        note = f"steps {last.steps[0]:.0f} to {last.steps[-1]:.0f}, last event {age}"
        if not any(gauge.group for gauge in gauges):
            note = f"no GPU metrics in its events\n{note}"
        return title, gauges, note

    def _run_gpu_names(self) -> list[str]:
        """Return the names of the run's GPUs, from its last event that has them."""
        last = self._log.last if self._log else None
        gpus = last.metrics.get("gpus") if last else None
        if isinstance(gpus, list) and self._run is not None:
            self._names[self._run] = [str(gpu.get("name") or "") for gpu in gpus if isinstance(gpu, dict)]
        return self._names.get(self._run or "", [])

    # --- this machine ---------------------------------------------------------------------------------------------

    def _this_machine(self) -> tuple[str, list[Gauge], str]:
        samples = [sample for sample in self._samples if sample[2]]
        title = f"this machine · last {span(WINDOW_SECONDS)}"
        if not samples:
            return title, [], self._failure or "reading …"
        now = time.monotonic()
        positions = np.array([1 - (now - moment) / WINDOW_SECONDS for moment, _, _ in samples])
        names = dict.fromkeys(name for _, _, load in samples for name in load)
        values = {name: np.array([load.get(name, np.nan) for _, _, load in samples]) for name in names}
        gauges = _gauges(values, positions, self._names.get("this", []))
        return title, gauges, "" if any(gauge.group for gauge in gauges) else "no GPU on this machine"

    # --- export ---------------------------------------------------------------------------------------------------

    def data(self) -> ExportTable:
        """Return every value of the selected stage, and of this machine's history."""
        return ExportTable(("machine", "stage", "step", "time", "metric", "value"), list(self._rows()))

    def _rows(self) -> Iterator[tuple[object, ...]]:
        stages, log = self._stages(), self._log
        if log is not None and stages:
            stage = self._selected_stage(stages)
            for name in log.metrics(stage):
                if name in _HOST_NAMES or name.startswith("gpus."):
                    series = log.series(stage, name)
                    for step, moment, value in zip(series.steps, series.times, series.values, strict=True):
                        yield self._run, stage, int(step), float(moment), name, float(value)
        for _, moment, load in list(self._samples):
            for name, value in load.items():
                yield "this", None, None, moment, name, value


_HOST_NAMES = {*(name for name, _, _ in HOST_METRICS), TOTAL_MEMORY}


def _numbers(load: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield a sample's numbers under the names used in events; NaN for values that a device does not report."""
    for name in _HOST_NAMES & set(load):
        yield name, float(load[name])
    for index, gpu in enumerate(load.get("gpus", ())):
        for name, value in gpu.items():
            if not isinstance(value, str):
                yield f"gpus.{index}.{name}", float("nan") if value is None else float(value)


def _gauges(values: dict[str, np.ndarray], positions: np.ndarray | None, names: list[str]) -> list[Gauge]:
    """Return the gauges of CPU and memory, then those of each GPU, for the metrics that have values."""

    def last(name: str) -> float | None:
        found = values.get(name)
        return float(found[-1]) if found is not None and found.size and np.isfinite(found[-1]) else None

    gauges = [
        Gauge("", title, unit, values[name], positions, 100.0 if unit == "%" else last(TOTAL_MEMORY))
        for name, title, unit in HOST_METRICS
        if name in values
    ]
    gauges = [replace(gauge, total=gauge.top) if gauge.name == "memory" else gauge for gauge in gauges]
    for index in sorted({int(name.split(".")[1]) for name in values if name.startswith("gpus.")}):
        label = f"GPU {index} {escape_controls(names[index]) if index < len(names) else ''}".rstrip()
        for name, title, unit in GPU_METRICS:
            found = values.get(f"gpus.{index}.{name}")
            if found is not None:
                top = 100.0 if unit in ("%", "°C") else None
                total = last(f"gpus.{index}.total_gib") if name == "memory_gib" else None
                gauges.append(Gauge(label, title, unit, found, positions, top, total))
    return gauges

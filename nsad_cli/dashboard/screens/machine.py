"""How loaded the machine of a run was, by its events, and how loaded this one is now."""

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

from nsad_cli.dashboard.durations import ago, span
from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.live.event_log import EventLog
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.gauges import Gauge, draw_gauges
from nsad_cli.dashboard.widgets.stage_bar import StageBar
from nsad_cli.errors import first_line
from nsad_cli.utils.system_load import machine_load
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.app import ComposeResult
    from textual.geometry import Size

WINDOW = 300.0
"""Seconds of this machine that are kept."""
EVERY = 0.4
"""Seconds between two samples, at least: the load is that since the last one."""
AGO = 5
"""Seconds after which a run that tells nothing new is drawn again: it tells how long ago it did."""
WHOLE = (("cpu_percent", "CPU", "%"), ("memory_gib", "memory", "GiB"), ("process_gib", "process", "GiB"))
DEVICE = (
    ("percent", "load", "%"),
    ("memory_gib", "memory", "GiB"),
    ("power_watts", "power", "W"),
    ("celsius", "heat", "°C"),
)
TOTAL = "memory_total_gib"


class Pane(Vertical):
    """A heading, and gauges."""

    DEFAULT_CSS = """
    Pane { height: 1fr; width: 1fr; }
    Pane > .title { height: 1; padding: 0 1; background: $panel; text-style: bold; text-wrap: nowrap; }
    Pane > VerticalScroll { padding: 0 1; }
    """

    def compose(self) -> ComposeResult:
        """A line, and text as high as it is."""
        yield Static(classes="title", markup=False)
        with VerticalScroll():
            yield Static(classes="gauges", markup=False)

    @property
    def room(self) -> Size:
        """For the gauges."""
        return self.query_one(VerticalScroll).scrollable_content_region.size

    def show(self, title: str, gauges: list[Gauge], note: str) -> None:
        """Draw it in the room that there is."""
        colours, room = tints(self.app), self.room
        self.query_one(".title", Static).update(title)
        lines = note.count("\n") + 1 if note else 0
        text = draw_gauges(gauges, max(room.width - 1, 8), room.height - lines, colours["primary"], colours["dim"])
        apart = "\n" if gauges and text.plain.count("\n") + lines < room.height else ""
        self.query_one(".gauges", Static).update(text.append(f"{apart}{note}", colours["dim"]))


class MachineView(View):
    """The run's machine, and this one."""

    NAME = "machine"
    DEFAULT_CSS = """
    MachineView.-wide #machines { layout: horizontal; }
    MachineView.-wide #this { margin-left: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the panes' own, which scroll sideways where nothing is to be seen.
        Binding("left", "stage(-1)", "The stage before", show=False, priority=True),
        Binding("right", "stage(1)", "The next stage", show=False, priority=True),
        Binding("f", "newest", "Follow", tooltip="Follow the newest stage"),
    ]
    load: ClassVar[Callable[[], dict[str, Any]]] = staticmethod(machine_load)

    def body(self) -> ComposeResult:
        """The run's stages, and two machines."""
        yield StageBar(id="stages")
        with Container(id="machines"):
            yield Pane(id="theirs")
            yield Pane(id="this")

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self._run: str | None = None
        self._log: EventLog | None = None
        self._stage: str | None = None  # None follows the run
        self._drawn: tuple[object, ...] = ()
        self._samples: deque[tuple[float, float, dict[str, float]]] = deque()
        self._names: dict[str, list[str]] = {}
        self._sampled, self._sampling, self._failure = 0.0, False, ""

    # --- following ------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Read the run's events, and look at this machine."""
        self._sample()
        run = self.context.run
        if self._run != (run.name if run else None):
            self._run = run.name if run else None
            self._log = EventLog(run.path / "events.jsonl") if run else None
            self._stage = None
        new = self._log is not None and self._log.poll()
        self._show(new)

    def _sample(self) -> None:
        """Ask this machine, beside the screen: a driver may take its time."""
        if self._sampling or time.monotonic() - self._sampled < EVERY:
            return
        self._sampling = True
        self.run_worker(self._ask, thread=True)

    def _ask(self) -> None:
        try:
            load, self._failure = type(self).load(), ""
        except Exception as error:  # whatever a system or a driver is at fault: the screen stays
            load, self._failure = {}, f"this machine cannot be looked at: {first_line(error)}"
        finally:
            self._sampled, self._sampling = time.monotonic(), False
        self._names["this"] = [str(gpu.get("name") or "") for gpu in load.get("gpus", ())]
        self._samples.append((self._sampled, self.context.clock(), dict(_numbers(load))))
        while self._samples and self._samples[0][0] < self._sampled - WINDOW:
            self._samples.popleft()

    def _show(self, new: bool = True) -> None:
        """Draw both machines; the run's where there is something new of it, or its room is another."""
        self.query_one("#this", Pane).show(*self._this())
        notes = self._log.notes if self._log else []
        reading = ["reading the log …"] if self._log and self._log.pending else []
        self.show_notice("; ".join(filter(None, [*reading, self._failure, *notes])))
        pane = self.query_one("#theirs", Pane)
        drawn = (self._run, self._stage, pane.room, self.app.theme, int(self.context.clock()) // AGO)
        if not new and drawn == self._drawn:
            return
        self._drawn = drawn
        stages = self._stages()
        self.query_one(StageBar).display = bool(stages)
        if stages:
            run, log = self.context.run, self._log
            live = log.latest if run and log and run.busy() else None
            self.query_one(StageBar).show(stages, self._here(stages), live)
        pane.show(*self._theirs(stages))

    def action_stage(self, by: int) -> None:
        """Look at another stage."""
        stages = self._stages()
        if stages:
            self._stage = stages[max(0, min(stages.index(self._here(stages)) + by, len(stages) - 1))]
            self._show()

    def action_newest(self) -> None:
        """Follow the newest stage again."""
        self._stage = None
        self._show()

    @on(StageBar.Chosen)
    def _chosen(self, event: StageBar.Chosen) -> None:
        self._stage = event.stage
        self._show()

    # --- the run's machine ----------------------------------------------------------------------------------------

    def _stages(self) -> list[str]:
        """The stages that tell of their machine."""
        log = self._log
        return [name for name in log.stages if "cpu_percent" in log.metrics(name)] if log else []

    def _here(self, stages: list[str]) -> str:
        """The stage chosen, else the newest."""
        return self._stage if self._stage in stages else stages[-1]

    def _theirs(self, stages: list[str]) -> tuple[str, list[Gauge], str]:
        if self._log is None:
            return "no run looked at", [], "1 lists the runs: Enter looks at one"
        if not stages:
            title = escape_controls(self._run or "")
            return title, [], "its events tell nothing of its machine yet:\nthe stages that train do (nsad train-nat)"
        stage, log = self._here(stages), self._log
        metrics = log.metrics(stage)
        told = {name: log.series(stage, name) for name in metrics if name in _WHOLE or name.startswith("gpus.")}
        gauges = _gauges({name: series.values for name, series in told.items()}, None, self._their_names())
        last = told["cpu_percent"]
        title = f"{escape_controls(self._run or '')} · {escape_controls(stage)}"
        heard = ago(self.context.clock() - float(last.times[-1]))
        note = f"steps {last.steps[0]:.0f} to {last.steps[-1]:.0f}, the last {heard}"
        return (
            title,
            gauges,
            note if any(gauge.group for gauge in gauges) else f"its events tell of no GPU: CPU and memory\n{note}",
        )

    def _their_names(self) -> list[str]:
        """Of the run's GPUs, once an event has told them."""
        last = self._log.last if self._log else None
        gpus = last.metrics.get("gpus") if last else None
        if isinstance(gpus, list) and self._run is not None:
            self._names[self._run] = [str(gpu.get("name") or "") for gpu in gpus if isinstance(gpu, dict)]
        return self._names.get(self._run or "", [])

    # --- this machine ---------------------------------------------------------------------------------------------

    def _this(self) -> tuple[str, list[Gauge], str]:
        samples = [sample for sample in self._samples if sample[2]]
        title = f"this machine · the last {span(WINDOW)}"
        if not samples:
            return title, [], self._failure or "looking …"
        now = time.monotonic()
        places = np.array([1 - (now - moment) / WINDOW for moment, _, _ in samples])
        names = dict.fromkeys(name for _, _, load in samples for name in load)
        values = {name: np.array([load.get(name, np.nan) for _, _, load in samples]) for name in names}
        gauges = _gauges(values, places, self._names.get("this", []))
        return title, gauges, "" if any(gauge.group for gauge in gauges) else "no GPU on this machine: CPU and memory"

    # --- export ---------------------------------------------------------------------------------------------------

    def data(self) -> Data:
        """Every number of the stage looked at, and of this machine."""
        return Data(("machine", "stage", "step", "time", "metric", "value"), list(self._rows()))

    def _rows(self) -> Iterator[tuple[object, ...]]:
        stages, log = self._stages(), self._log
        if log is not None and stages:
            stage = self._here(stages)
            for name in log.metrics(stage):
                if name in _WHOLE or name.startswith("gpus."):
                    series = log.series(stage, name)
                    for step, moment, value in zip(series.steps, series.times, series.values, strict=True):
                        yield self._run, stage, int(step), float(moment), name, float(value)
        for _, moment, load in list(self._samples):
            for name, value in load.items():
                yield "this", None, None, moment, name, value


_WHOLE = {*(name for name, _, _ in WHOLE), TOTAL}


def _numbers(load: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """A sample's numbers by the names that events have; nan for what a device does not tell."""
    for name in _WHOLE & set(load):
        yield name, float(load[name])
    for index, gpu in enumerate(load.get("gpus", ())):
        for name, value in gpu.items():
            if not isinstance(value, str):
                yield f"gpus.{index}.{name}", float("nan") if value is None else float(value)


def _gauges(values: dict[str, np.ndarray], places: np.ndarray | None, names: list[str]) -> list[Gauge]:
    """CPU and memory, then each GPU, as far as there are numbers."""

    def last(name: str) -> float | None:
        found = values.get(name)
        return float(found[-1]) if found is not None and found.size and np.isfinite(found[-1]) else None

    gauges = [
        Gauge("", title, unit, values[name], places, 100.0 if unit == "%" else last(TOTAL))
        for name, title, unit in WHOLE
        if name in values
    ]
    gauges = [replace(gauge, total=gauge.top) if gauge.name == "memory" else gauge for gauge in gauges]
    for index in sorted({int(name.split(".")[1]) for name in values if name.startswith("gpus.")}):
        label = f"GPU {index} {escape_controls(names[index]) if index < len(names) else ''}".rstrip()
        for name, title, unit in DEVICE:
            found = values.get(f"gpus.{index}.{name}")
            if found is not None:
                top = 100.0 if unit in ("%", "°C") else None
                whole = last(f"gpus.{index}.total_gib") if name == "memory_gib" else None
                gauges.append(Gauge(label, title, unit, found, places, top, whole))
    return gauges

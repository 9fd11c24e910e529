"""Curves: what each stage of a run tells, step by step, and the runs marked beside each other."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widgets import Static

from nsad_cli.dashboard.chart import Chart, Curve
from nsad_cli.dashboard.event_log import BUDGET, EventLog
from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.figures import HELD_OUT, Figure, apart, every_stage, figures, layer_of, named
from nsad_cli.dashboard.heat_map import HeatMap, Layer
from nsad_cli.dashboard.legend import chart_legend, heat_legend, left_out
from nsad_cli.dashboard.plane import Plane
from nsad_cli.dashboard.row_list import Column, RowList
from nsad_cli.dashboard.series import Series
from nsad_cli.dashboard.sight import Sight
from nsad_cli.dashboard.smoothing import WEIGHTS, Smoothed
from nsad_cli.dashboard.stage_bar import StageBar
from nsad_cli.dashboard.themes import CURVES, GLYPHS, tints
from nsad_cli.dashboard.ticks import exactly, number
from nsad_cli.dashboard.view import View
from nsad_cli.readable import printable

ALL = "all stages"
AGAIN = 0.01
"""Seconds between two parts of a log that is being read: the keys stay alive."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a curve comes from."""

    run: str
    stage: str
    metric: str
    series: Series


class CurvesView(View):
    """A list of figures, and the one chosen as curves or as a heat map."""

    NAME = "curves"
    CSS = """
    #panes { layout: horizontal; height: 1fr; }
    #figures { width: 28; border-right: solid $panel; }
    #picture { width: 1fr; height: 1fr; }
    #legend { height: auto; max-height: 4; padding: 0 1; }
    CurvesView.-wide #figures { width: 34; }
    CurvesView.-narrow #panes { layout: vertical; }
    CurvesView.-narrow #figures { width: 1fr; height: 4; border-right: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "stage(-1)", "The stage before", show=False),
        Binding("right", "stage(1)", "The next stage", show=False),
        Binding("s", "smooth", "Smooth", tooltip="Smoothing: off, 0.6, 0.9, 0.99, 0.999"),
        Binding("l", "logarithm", "Log", tooltip="Logarithmic axis, or linear"),
        Binding("comma,shift+left", "cursor(-1)", "Cursor to the left", show=False),
        Binding("full_stop,shift+right", "cursor(1)", "Cursor to the right", show=False),
        Binding("escape", "no_cursor", "No cursor", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", tooltip="Zoom in, around the cursor"),
        Binding("minus", "zoom(2)", "Zoom out", show=False),
        Binding("less_than_sign,ctrl+left", "pan(-0.5)", "Earlier steps", show=False),
        Binding("greater_than_sign,ctrl+right", "pan(0.5)", "Later steps", show=False),
        Binding("0", "show_all", "All steps", show=False),
        Binding("f", "newest", "Follow", tooltip="Follow the newest stage and step"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.sight = Sight()
        self.bar = StageBar(id="stages")
        self.rows = RowList([Column("figure"), Column("now", 10, number=True)], id="figures")
        self.chart, self.heat = Chart(self.sight, id="chart"), HeatMap(self.sight, id="heat")
        self.legend = Static(id="legend", markup=False)
        self.smoothing = WEIGHTS[0]
        self.stage: str | None = None
        """The stage chosen; None follows the newest."""
        self.title_chosen = ""
        self._drawn = ""
        """The stage in sight."""
        self._place = 0
        """The figure in sight, as its place in the list."""
        self._logs: dict[Path, EventLog] = {}
        self._averages: dict[tuple[Path, str, str, float], Smoothed] = {}
        self._figures: list[Figure] = []
        self._sources: list[Source] = []
        self._looked: tuple[object, ...] = ()
        self._reading = self._live = False

    def body(self) -> ComposeResult:
        """Stages above, figures at the side, the picture with its legend."""
        yield self.bar
        with Container(id="panes"):
            yield self.rows
            with Vertical(id="picture"):
                yield self.chart
                yield self.heat
                yield self.legend

    def on_mount(self) -> None:
        """What is imported stays: looking through it for what may go held frames up for 40 ms now and then."""
        gc.freeze()

    # --- following ------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Read what is new of each run's log, and draw where there is something."""
        runs = self.reader.overlaid()
        if not runs:
            self._logs, self._sources = {}, []
            self.say("")
            self.say_empty(
                self.without_run("There is no run here yet.\n\nMake one with  nsad demo  or  nsad run RECIPE")
            )
            return
        known, self._logs = self._logs, {}
        for run in runs:
            path = run.path / "events.jsonl"
            self._logs[path] = known.get(path) or EventLog(path)
        new = [log.poll(BUDGET / len(runs)) for log in self._logs.values()]
        looked = (tuple(self._logs), self.size)
        if any(new) or looked != self._looked:
            self._looked = looked
            self._live = runs[0].busy()
            self.draw()
        notes = [
            note if len(runs) == 1 else f"{run.name}: {note}"
            for run, log in zip(runs, self._logs.values(), strict=True)
            for note in log.notes
        ]
        if self._pending and not self._reading:
            self._reading = True
            self.set_timer(AGAIN, self._read_on)
        if self._pending:
            notes.insert(0, "reading the log …")
        self.say("; ".join(notes))

    @property
    def _pending(self) -> bool:
        return any(log.pending for log in self._logs.values())

    def _read_on(self) -> None:
        """The next part of a long log, while nothing else is to be done; what it has shows at the next tick."""
        self._reading = False
        waiting = [log for log in self._logs.values() if log.pending]
        if not waiting or not self.is_current:
            return
        for log in waiting:
            log.poll(BUDGET / len(waiting))
        self._looked = ()
        if self._pending:
            self._reading = True
            self.set_timer(AGAIN, self._read_on)
        else:
            self.tick()

    # --- what is shown --------------------------------------------------------------------------------------------

    @property
    def _runs(self) -> list[tuple[str, EventLog]]:
        """The runs by name, the one looked at first."""
        return [(path.parent.name, log) for path, log in self._logs.items()]

    def _stages(self) -> list[str]:
        """Stages with numbers, of any run."""
        found = dict.fromkeys(stage for _, log in self._runs for stage in log.stages if log.metrics(stage))
        first = self._runs[0][1]
        compared = len(self._runs) == 1 and every_stage(first, list(found))
        return [ALL, *found] if compared and len(found) > 1 else list(found)

    def _newest(self, stages: Sequence[str]) -> str:
        """The stage that tells something now, or the last one that had a loss."""
        log = next((log for _, log in self._runs if log.latest in stages), self._runs[0][1])
        if log.latest in stages and "loss" in log.metrics(str(log.latest)):
            return str(log.latest)
        trained = [stage for stage in stages if any("loss" in log.metrics(stage) for _, log in self._runs)]
        return [*stages[:1], *([str(log.latest)] if log.latest in stages else []), *trained][-1]

    def draw(self) -> None:
        """Show the stage and the figure chosen."""
        stages = self._stages() if self._runs else []
        if not stages:
            self._sources = []
            name = printable(self._runs[0][0]) if self._runs else ""
            self.say_empty(
                f"{name} has told no numbers yet.\n\nThey come while it trains:  nsad run RECIPE --run {name}"
            )
            return
        self.say_empty(None)
        stage = self.stage if self.stage in stages else self._newest(stages)
        if stage != self._drawn:
            self.sight.show_all()
            self._put_cursor(None)
        self._drawn = stage
        self.bar.show(stages, stage, self._runs[0][1].latest if self._live else None)
        self._show_figures(stage, stages)
        self._show_picture(stage, stages)

    def _show_figures(self, stage: str, stages: Sequence[str]) -> None:
        if stage == ALL:
            self._figures = every_stage(self._runs[0][1], stages[1:])
        else:
            log = next((log for _, log in self._runs if log.metrics(stage)), self._runs[0][1])
            self._figures = figures(log, stage) if len(self._runs) == 1 else apart(figures(log, stage))
        titles = [figure.title for figure in self._figures]
        self._place = titles.index(self.title_chosen) if self.title_chosen in titles else 0
        self.rows.show(
            len(titles), lambda i: (printable(titles[i]), self._now(stage, self._figures[i])), cursor=self._place
        )

    def _now(self, stage: str, figure: Figure) -> str:
        """A figure's newest value: of its first curve, or the largest of a heat map."""
        if stage == ALL:
            return ""
        log = self._runs[0][1]
        last = [values[-1] for m in figure.metrics if len(values := log.series(stage, m).values)]
        if figure.layered:
            finite = [abs(value) for value in last if np.isfinite(value)]
            return f"±{number(max(finite))}" if finite else ""
        return number(last[0]) if last else ""

    @property
    def _figure(self) -> Figure:
        return self._figures[self._place]

    def _chosen(self, stage: str, stages: Sequence[str], figure: Figure) -> Iterator[tuple[str, Source]]:
        """Each curve's name and source."""
        several = len(self._runs) > 1
        for name, log in self._runs[: 1 if figure.layered else None]:
            for own in stages[1:] if stage == ALL else [stage]:
                for metric in figure.metrics:
                    series = log.series(own, metric)
                    if len(series):
                        title = name if several else own if stage == ALL else named(metric)
                        yield title, Source(name, own, metric, series)

    def _show_picture(self, stage: str, stages: Sequence[str]) -> None:
        figure = self._figure
        chosen = list(self._chosen(stage, stages, figure))
        self._sources = [source for _, source in chosen]
        ends = [(source.series.steps[0], source.series.steps[-1]) for source in self._sources]
        if ends:
            self.sight.grow(float(min(first for first, _ in ends)), float(max(last for _, last in ends)))
        chart, heat = self.chart, self.heat
        chart.display, heat.display = not figure.layered, figure.layered
        if figure.layered:
            layers = [Layer(layer_of(source.metric)[0], source.series) for source in self._sources]
            heat.show(sorted(layers, key=lambda layer: layer.number))
        else:
            chart.show([self._curve(i, name, source) for i, (name, source) in enumerate(chosen)])
        self._show_legend()

    def _curve(self, place: int, name: str, source: Source) -> Curve:
        glyph, colour = GLYPHS[place % len(GLYPHS)], CURVES[place % len(CURVES)]
        marked = source.metric == HELD_OUT
        if marked or not self.smoothing:
            return Curve(name, source.series, glyph, colour, marked)
        path = next(path for path in self._logs if path.parent.name == source.run)
        key = (path, source.stage, source.metric, self.smoothing)
        average = self._averages.setdefault(key, Smoothed(self.smoothing)).of(source.series)
        return Curve(name, average, glyph, colour, behind=source.series)

    # --- the legend -----------------------------------------------------------------------------------------------

    def _show_legend(self) -> None:
        plane, tint = self._plane, tints(self.app)
        text = Text(overflow="ellipsis")
        if plane.cursor is not None:
            text.append(f"step {exactly(plane.cursor)}  ", plane.ink(tint["accent"]) + Style(bold=True))
        state = []
        if isinstance(plane, Chart):
            text.append_text(chart_legend(plane))
            state += [f"smoothed {self.smoothing:g}"] if self.smoothing else []
            state += ["log axis"] if plane.logarithmic else []
            state += [missing] if (missing := left_out(plane)) else []
        elif isinstance(plane, HeatMap):
            text.append_text(heat_legend(plane))
            state += [f"{printable(self._runs[0][0])} alone"] if len(self._runs) > 1 else []
        if not self.sight.whole:
            first, last = self.sight.bounds
            state.append(f"steps {exactly(round(first))} to {exactly(round(last))}")
        text.append(" · ".join(state), plane.ink(tint["dim"]))
        self.legend.update(text)

    # --- keys and mouse -------------------------------------------------------------------------------------------

    @property
    def _plane(self) -> Plane:
        return self.heat if self._figures and self._figure.layered else self.chart

    def _put_cursor(self, step: float | None) -> None:
        self.chart.cursor = self.heat.cursor = step
        if step is None:
            self.heat.pointed = None

    def _redraw(self) -> None:
        """The picture and its legend, from what is read already."""
        if self._sources:
            self._plane.changed()
            self._show_legend()

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        """Another figure."""
        if message.index != self._place and message.index < len(self._figures):
            self.title_chosen = self._figures[message.index].title
            self.draw()

    def on_stage_bar_chosen(self, message: StageBar.Chosen) -> None:
        """Another stage, by the mouse."""
        self.stage = message.stage
        self.draw()

    def on_plane_zoomed(self, message: Plane.Zoomed) -> None:
        """The wheel."""
        self.sight.zoom(message.factor, message.step)
        self._redraw()

    def on_plane_panned(self, message: Plane.Panned) -> None:
        """A drag."""
        self.action_pan(message.share)

    def on_plane_pointed(self, message: Plane.Pointed) -> None:
        """A click sets the cursor, on a heat map on a layer."""
        self.heat.pointed = message.row if self._plane is self.heat and self.heat.row_layers(message.row) else None
        self._put_cursor(self._snapped(message.step))
        self._redraw()

    def action_stage(self, by: int) -> None:
        """Another stage."""
        stages = self._stages() if self._runs else []
        if stages:
            at = stages.index(self._drawn) if self._drawn in stages else 0
            self.stage = stages[max(0, min(at + by, len(stages) - 1))]
            self.draw()

    def action_smooth(self) -> None:
        """The next weight; a heat map has none."""
        if isinstance(self._plane, HeatMap):
            return
        self.smoothing = WEIGHTS[(WEIGHTS.index(self.smoothing) + 1) % len(WEIGHTS)]
        self.draw()

    def action_logarithm(self) -> None:
        """Logarithmic or linear."""
        if isinstance(plane := self._plane, Chart):
            plane.logarithmic = not plane.logarithmic
            self._redraw()

    def action_zoom(self, factor: float) -> None:
        """Fewer steps, or more."""
        self.sight.zoom(factor, self._plane.cursor)
        self._redraw()

    def action_pan(self, share: float) -> None:
        """Earlier steps, or later ones."""
        self.sight.pan(share)
        self._redraw()

    def action_show_all(self) -> None:
        """All steps."""
        self.sight.show_all()
        self._redraw()

    def action_newest(self) -> None:
        """Follow."""
        self.stage = None
        self.sight.pan(float("inf")) if not self.sight.whole else None
        self._put_cursor(None)
        self.draw()

    def _longest(self) -> Series | None:
        return max((source.series for source in self._sources), key=len, default=None)

    def _snapped(self, step: float) -> float:
        """The nearest step at which something was told."""
        series = self._longest()
        place = series.nearest(step) if series is not None else None
        return step if series is None or place is None else float(series.steps[place])

    def action_cursor(self, by: int) -> None:
        """A column to a side, or a step where they are farther apart."""
        series, plane = self._longest(), self._plane
        if series is None:
            return
        first, last = self.sight.bounds
        if plane.cursor is None or not first <= plane.cursor <= last:
            self._put_cursor(self._snapped(last))
        else:
            place = series.nearest(plane.cursor) or 0
            stride = max(1, round(len(series.between(first, last)) / plane.columns))
            self._put_cursor(float(series.steps[max(0, min(place + by * stride, len(series) - 1))]))
        assert plane.cursor is not None
        if not first <= plane.cursor <= last:
            self.sight.pan(by * 0.5)
        self._redraw()

    def action_no_cursor(self) -> None:
        """Take it away."""
        self._put_cursor(None)
        self._redraw()

    # --- export ---------------------------------------------------------------------------------------------------

    def data(self) -> Data | None:
        """Every point of the curves in the range in sight."""
        first, last = self.sight.bounds

        def rows() -> Iterator[Sequence[object]]:
            for source in self._sources:
                part = source.series.between(first, last)
                points = zip(part.steps.tolist(), part.times.tolist(), part.values.tolist(), strict=True)
                for step, moment, value in points:
                    whole = int(step) if step == int(step) else step
                    yield source.run, source.stage, source.metric, whole, moment, value if math.isfinite(value) else ""

        return Data(("run", "stage", "metric", "step", "time", "value"), rows()) if self._sources else None

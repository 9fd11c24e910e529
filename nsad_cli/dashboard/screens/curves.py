"""Curves: what each stage of a run tells, step by step, and the runs marked beside each other."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widgets import Static

from nsad_cli.dashboard.live.event_log import BUDGET, EventLog
from nsad_cli.dashboard.live.event_logs import FollowedLogs
from nsad_cli.dashboard.live.metrics import MetricSpec, now
from nsad_cli.dashboard.live.smoothing import WEIGHTS, Averages
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.curves_drawing import curves, layers
from nsad_cli.dashboard.screens.curves_selection import (
    ALL,
    Source,
    newest_stage,
    sources,
    stage_figures,
    table,
    told_stages,
)
from nsad_cli.dashboard.themes import curve_colours
from nsad_cli.dashboard.widgets.cursor import moved, snapped
from nsad_cli.dashboard.widgets.heat_map import HeatMap
from nsad_cli.dashboard.widgets.legend import legend
from nsad_cli.dashboard.widgets.line_chart import Chart
from nsad_cli.dashboard.widgets.row_list import Column, RowList
from nsad_cli.dashboard.widgets.stage_bar import StageBar
from nsad_cli.dashboard.widgets.viewport import Viewport
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from nsad_cli.dashboard.export import Data
    from nsad_cli.dashboard.live.series import Series
    from nsad_cli.dashboard.widgets.step_plot import StepPlot

AGAIN = 0.01
"""Seconds between two parts of a log that is being read: the keys stay alive."""


class CurvesView(View):
    """A list of figures, and the one chosen as curves or as a heat map."""

    NAME = "curves"
    CSS = """
    #panes { layout: horizontal; height: 1fr; }
    #figures { width: 30; border-right: solid $panel; }
    #picture { width: 1fr; height: 1fr; }
    #legend { height: auto; max-height: 4; padding: 0 1; }
    CurvesView.-wide #figures { width: 36; }
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
        Binding("n", "next_run", "The next run's heat map, of several", show=False),
        Binding("f", "newest", "Follow", tooltip="Follow the newest stage and step"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.sight = Viewport()
        self.bar = StageBar(id="stages")
        self.rows = RowList([Column("figure"), Column("now", 14, number=True)], id="figures")
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
        self._logs, self._averages = FollowedLogs(), Averages()
        self._layered = 0
        """Whose heat map is in sight, as the run's place among those overlaid."""
        self._figures: list[MetricSpec] = []
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
        self._logs.follow(runs)
        if not runs:
            self._sources = []
            self.say("")
            self.say_empty(
                self.without_run("There is no run here yet.\n\nMake one with  nsad demo  or  nsad run RECIPE")
            )
            return
        new = self._logs.poll(BUDGET)
        looked = (self._logs.names, self.size)
        if new or looked != self._looked:
            self._looked = looked
            self._averages.forget(self._logs.names)
            self._live = runs[0].busy()
            self.draw()
        self._read_on_soon()
        self.say("; ".join(self._logs.notes))

    def _read_on_soon(self) -> None:
        if self._logs.pending and not self._reading:
            self._reading = True
            self.set_timer(AGAIN, self._read_on)

    def _read_on(self) -> None:
        """The next part of a long log, while nothing else is to be done; what it has shows at the next tick."""
        self._reading = False
        if not self._logs.pending or not self.is_current:
            return
        self._logs.poll(BUDGET, pending=True)
        self._looked = ()
        self._read_on_soon()
        if not self._reading:
            self.tick()

    # --- what is shown --------------------------------------------------------------------------------------------

    @property
    def _runs(self) -> list[tuple[str, EventLog]]:
        """The runs by name, the one looked at first."""
        return list(self._logs)

    def draw(self) -> None:
        """Show the stage and the figure chosen."""
        runs = self._runs
        stages = told_stages(runs) if runs else []
        if not stages:
            self._sources = []
            name = escape_controls(runs[0][0]) if runs else ""
            self.say_empty(
                f"{name} has told no numbers yet.\n\nThey come while it trains:  nsad run RECIPE --run {name}"
            )
            return
        self.say_empty(None)
        stage = self.stage if self.stage in stages else newest_stage(runs, stages)
        if stage != self._drawn:
            self.sight.show_all()
            self._put_cursor(None)
        self._drawn = stage
        self.bar.show(stages, stage, runs[0][1].latest if self._live else None)
        self._figures = stage_figures(runs, stage, stages)
        titles = [figure.title for figure in self._figures]
        self._place = titles.index(self.title_chosen) if self.title_chosen in titles else 0
        self.rows.show(len(titles), self._row, cursor=self._place)
        self._sources = self._found()
        self._show_picture()

    def _found(self) -> list[Source]:
        """The curves of the figure chosen, as far as the logs are read; of the runs' heat maps one."""
        runs = self._runs
        return sources(runs, self._drawn, told_stages(runs), self._figure, self._layered % len(runs))

    def _row(self, place: int) -> tuple[str, str]:
        """A figure in the list, with its newest value."""
        figure, stage = self._figures[place], self._drawn
        return escape_controls(figure.title), "" if stage == ALL else now(self._runs[0][1], stage, figure)

    @property
    def _figure(self) -> MetricSpec:
        return self._figures[self._place]

    def _show_picture(self) -> None:
        ends = [(source.series.steps[0], source.series.steps[-1]) for source in self._sources]
        if ends:
            self.sight.grow(float(min(first for first, _ in ends)), float(max(last for _, last in ends)))
        self.chart.display, self.heat.display = not self._figure.layered, self._figure.layered
        if self._figure.layered:
            self.heat.show(layers(self._sources))
        else:
            colours = curve_colours(self.app)
            self.chart.show(curves(self._sources, colours, self.smoothing, self._averages, self._logs))
        self._show_legend()

    def _show_legend(self) -> None:
        runs = self._runs
        place = self._layered % len(runs)
        whose = f"{escape_controls(runs[place][0])} alone, n: the next run" if len(runs) > 1 else ""
        self.legend.update(legend(self._plane, self.smoothing, whose))

    # --- keys and mouse -------------------------------------------------------------------------------------------

    @property
    def _plane(self) -> StepPlot:
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

    def on_plane_zoomed(self, message: StepPlot.Zoomed) -> None:
        """The wheel."""
        self.sight.zoom(message.factor, message.step)
        self._redraw()

    def on_plane_panned(self, message: StepPlot.Panned) -> None:
        """A drag."""
        self.action_pan(message.share)

    def on_plane_pointed(self, message: StepPlot.Pointed) -> None:
        """A click sets the cursor, on a heat map on a layer."""
        self.heat.pointed = message.row if self._plane is self.heat and self.heat.row_layers(message.row) else None
        series = self._longest()
        self._put_cursor(message.step if series is None else snapped(series, message.step))
        self._redraw()

    def action_stage(self, by: int) -> None:
        """Another stage."""
        stages = told_stages(self._runs) if self._runs else []
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

    def action_next_run(self) -> None:
        """The heat map of the next of the runs laid over each other."""
        if isinstance(self._plane, HeatMap) and len(self._logs) > 1:
            self._layered = (self._layered + 1) % len(self._logs)
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

    def action_cursor(self, by: int) -> None:
        """A column to a side."""
        series = self._longest()
        if series is None:
            return
        first, last = self.sight.bounds
        step = moved(series, self._plane.cursor, by, (first, last), self._plane.columns)
        self._put_cursor(step)
        if not first <= step <= last:
            self.sight.pan(by * 0.5)
        self._redraw()

    def action_no_cursor(self) -> None:
        """Take it away."""
        self._put_cursor(None)
        self._redraw()

    # --- export ---------------------------------------------------------------------------------------------------

    def data(self) -> Data | None:
        """Every point of the curves in the range in sight."""
        return table(self._found(), *self.sight.bounds) if self._sources else None

"""The plot area of the curves screen: a line chart or a heat map, with legend, visible range and cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.widgets import Static

from nsad_cli.dashboard.live.smoothing import WEIGHTS, AverageCache
from nsad_cli.dashboard.screens.curves_drawing import curves, layers
from nsad_cli.dashboard.themes import curve_colours
from nsad_cli.dashboard.widgets.cursor import move_by_columns, snap_to_point
from nsad_cli.dashboard.widgets.heat_map import HeatMap
from nsad_cli.dashboard.widgets.legend import legend
from nsad_cli.dashboard.widgets.line_chart import LineChart
from nsad_cli.dashboard.widgets.viewport import Viewport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from nsad_cli.dashboard.live.event_logs import FollowedLogs
    from nsad_cli.dashboard.live.series import Series
    from nsad_cli.dashboard.screens.curves_selection import Source
    from nsad_cli.dashboard.widgets.step_plot import StepPlot


class CurvesPicture(Vertical):
    """The plot of the selected chart; keys and mouse move its visible range and cursor."""

    def __init__(self, logs: FollowedLogs) -> None:
        super().__init__(id="picture")
        self.viewport = Viewport()
        self.chart, self.heat_map = LineChart(self.viewport, id="chart"), HeatMap(self.viewport, id="heat")
        self.legend = Static(id="legend", markup=False)
        self.smoothing = WEIGHTS[0]
        self.sources: Sequence[Source] = ()
        self.averages = AverageCache()
        self._logs = logs
        self._layered, self._owner = False, ""

    def compose(self) -> ComposeResult:
        """Create the line chart, the heat map, and the legend."""
        yield self.chart
        yield self.heat_map
        yield self.legend

    @property
    def plot(self) -> StepPlot:
        """The visible one of the two plots."""
        return self.heat_map if self._layered else self.chart

    def show(self, sources: Sequence[Source], layered: bool, owner: str) -> None:
        """Draw these sources.

        Args:
            sources: The curves, or the layers of a heat map.
            layered: Whether they are drawn as a heat map.
            owner: Text about the run of a heat map, for the legend; empty if there is only one run.
        """
        self.sources, self._layered, self._owner = sources, layered, owner
        ends = [(source.series.steps[0], source.series.steps[-1]) for source in sources]
        if ends:
            self.viewport.set_extent(float(min(first for first, _ in ends)), float(max(last for _, last in ends)))
        self.chart.display, self.heat_map.display = not layered, layered
        if layered:
            self.heat_map.show(layers(sources))
        else:
            self.chart.show(curves(sources, curve_colours(self.app), self.smoothing, self.averages, self._logs))
        self._redraw()

    def reset_range(self) -> None:
        """Show all steps, without a cursor."""
        self.viewport.show_all()
        self._set_cursor(None)

    # --- the visible range --------------------------------------------------------------------------------------------

    def zoom(self, factor: float) -> None:
        """Show `factor` times as many steps, around the cursor."""
        self.viewport.zoom(factor, self.plot.cursor)
        self._redraw()

    def pan(self, share: float) -> None:
        """Move the range by a share of its width."""
        self.viewport.pan(share)
        self._redraw()

    def show_all(self) -> None:
        """Show all steps."""
        self.viewport.show_all()
        self._redraw()

    def follow_latest(self) -> None:
        """Move the range to the latest step, and remove the cursor."""
        if not self.viewport.shows_all:
            self.viewport.pan(float("inf"))
        self._set_cursor(None)

    # --- display settings ---------------------------------------------------------------------------------------------

    def next_smoothing(self) -> None:
        """Use the next smoothing factor; heat maps are not smoothed."""
        if self._layered:
            return
        self.smoothing = WEIGHTS[(WEIGHTS.index(self.smoothing) + 1) % len(WEIGHTS)]
        if self.sources:
            self.show(self.sources, self._layered, self._owner)

    def toggle_logarithmic(self) -> None:
        """Switch the chart between a linear and a logarithmic axis."""
        if not self._layered:
            self.chart.logarithmic = not self.chart.logarithmic
            self._redraw()

    # --- the cursor ---------------------------------------------------------------------------------------------------

    def move_cursor(self, by: int) -> None:
        """Move the cursor by columns; the range follows it."""
        series = _longest(self.sources)
        if series is None:
            return
        first, last = self.viewport.bounds
        step = move_by_columns(series, self.plot.cursor, by, (first, last), self.plot.columns)
        self._set_cursor(step)
        if not first <= step <= last:
            self.viewport.pan(by * 0.5)
        self._redraw()

    def remove_cursor(self) -> None:
        """Remove the cursor."""
        self._set_cursor(None)
        self._redraw()

    def _set_cursor(self, step: float | None) -> None:
        self.chart.cursor = self.heat_map.cursor = step
        if step is None:
            self.heat_map.selected_row = None

    # --- drawing and the mouse ----------------------------------------------------------------------------------------

    def _redraw(self) -> None:
        self.plot.changed()
        self.legend.update(legend(self.plot, self.smoothing, self._owner))

    def on_step_plot_zoomed(self, message: StepPlot.Zoomed) -> None:
        """Zoom around the step under the mouse."""
        self.viewport.zoom(message.factor, message.step)
        self._redraw()

    def on_step_plot_panned(self, message: StepPlot.Panned) -> None:
        """Pan by the distance dragged."""
        self.pan(message.share)

    def on_step_plot_pointed(self, message: StepPlot.Pointed) -> None:
        """Move the cursor to the step clicked on; in a heat map, also select the row."""
        self.heat_map.selected_row = message.row if self._layered and self.heat_map.row_layers(message.row) else None
        series = _longest(self.sources)
        self._set_cursor(message.step if series is None else snap_to_point(series, message.step))
        self._redraw()


def _longest(sources: Sequence[Source]) -> Series | None:
    return max((source.series for source in sources), key=len, default=None)

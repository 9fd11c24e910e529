"""The curves screen: the metrics of each stage over its steps, with marked runs overlaid."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container

from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.curves_picture import CurvesPicture
from nsad_cli.dashboard.screens.curves_reading import LogReading
from nsad_cli.dashboard.screens.curves_selection import Selection, table
from nsad_cli.dashboard.widgets.row_list import Column, RowList
from nsad_cli.dashboard.widgets.stage_bar import StageBar
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from nsad_cli.dashboard.export import ExportTable


class CurvesView(View):
    """The list of a stage's charts, and the selected one as a line chart or a heat map."""

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
        Binding("left", "stage(-1)", "Previous stage", show=False),
        Binding("right", "stage(1)", "Next stage", show=False),
        Binding("s", "smooth", "Smooth", tooltip="Smoothing: off, 0.6, 0.9, 0.99, 0.999"),
        Binding("l", "logarithm", "Log", tooltip="Logarithmic or linear axis"),
        Binding("comma,shift+left", "cursor(-1)", "Cursor to the left", show=False),
        Binding("full_stop,shift+right", "cursor(1)", "Cursor to the right", show=False),
        Binding("escape", "no_cursor", "No cursor", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", tooltip="Zoom in, around the cursor"),
        Binding("minus", "zoom(2)", "Zoom out", show=False),
        Binding("less_than_sign,ctrl+left", "pan(-0.5)", "Earlier steps", show=False),
        Binding("greater_than_sign,ctrl+right", "pan(0.5)", "Later steps", show=False),
        Binding("0", "show_all", "All steps", show=False),
        Binding("n", "next_run", "Heat map of the next run", show=False),
        Binding("f", "newest", "Follow", tooltip="Follow the latest stage and step"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.selection = LogReading(self), Selection()
        self.bar = StageBar(id="stages")
        self.rows = RowList([Column("metric"), Column("latest", 14, number=True)], id="figures")
        self.picture = CurvesPicture(self.reading.logs)
        self._layout: tuple[object, ...] = ()
        """The runs and the size of the last drawing."""
        self._live = False

    def body(self) -> ComposeResult:
        """Create the stage bar, the list of charts, and the picture."""
        yield self.bar
        with Container(id="panes"):
            yield self.rows
            yield self.picture

    def on_mount(self) -> None:
        """Exclude imported objects from garbage collection, which delayed frames by 40 ms now and then."""
        gc.freeze()

    def follow(self) -> None:
        """Read new events of each run's log, and draw them."""
        runs = self.context.overlaid()
        new = self.reading.poll(runs)
        if not runs:
            self.picture.sources = ()
            self.show_notice("")
            self.show_empty(self.no_run_text("There is no run yet.\n\nCreate one with  nsad demo  or  nsad run RECIPE"))
            return
        names = self.reading.logs.names
        if new or (names, self.size) != self._layout:
            self._layout = (names, self.size)
            self.picture.averages.keep_only(names)
            self._live = runs[0].busy()
            self.draw()
        self.reading.schedule()
        self.show_notice("; ".join(self.reading.logs.notes))

    def draw(self) -> None:
        """Draw the selected stage and chart."""
        runs, selection = list(self.reading.logs), self.selection
        before = selection.stage
        if not selection.update(runs):
            self.picture.sources = ()
            name = escape_controls(runs[0][0]) if runs else ""
            self.show_empty(
                f"{name} has not logged any metrics yet.\n\nTraining logs them:  nsad run RECIPE --run {name}"
            )
            return
        self.show_empty(None)
        if selection.stage != before:
            self.picture.reset_range()
        self.bar.show(selection.stages, selection.stage, runs[0][1].latest_stage if self._live else None)
        self.rows.show(len(selection.charts), selection.row, cursor=selection.index)
        self.picture.show(selection.sources(), selection.chart.layered, selection.owner)

    def data(self) -> ExportTable | None:
        """Every point of the curves in the visible range."""
        return table(self.selection.sources(), *self.picture.viewport.bounds) if self.picture.sources else None

    # --- the selection -----------------------------------------------------------------------------------------------

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        """Show the chart under the cursor."""
        if self.selection.choose_chart(message.index):
            self.draw()

    def on_stage_bar_chosen(self, message: StageBar.Chosen) -> None:
        """Show the stage that was clicked on."""
        self.selection.chosen_stage = message.stage
        self.draw()

    def action_stage(self, by: int) -> None:
        """Show the next or previous stage."""
        if self.selection.move_stage(list(self.reading.logs), by):
            self.draw()

    def action_next_run(self) -> None:
        """Show the heat map of the next of the overlaid runs."""
        if self.selection.next_run():
            self.draw()

    def action_newest(self) -> None:
        """Follow the latest stage and step."""
        self.selection.chosen_stage = None
        self.picture.follow_latest()
        self.draw()

    # --- the picture --------------------------------------------------------------------------------------------------

    def action_smooth(self) -> None:
        """Use the next smoothing factor."""
        self.picture.next_smoothing()

    def action_logarithm(self) -> None:
        """Switch between a linear and a logarithmic axis."""
        self.picture.toggle_logarithmic()

    def action_zoom(self, factor: float) -> None:
        """Zoom the range of steps."""
        self.picture.zoom(factor)

    def action_pan(self, share: float) -> None:
        """Pan the range of steps."""
        self.picture.pan(share)

    def action_show_all(self) -> None:
        """Show all steps."""
        self.picture.show_all()

    def action_cursor(self, by: int) -> None:
        """Move the cursor by columns."""
        self.picture.move_cursor(by)

    def action_no_cursor(self) -> None:
        """Remove the cursor."""
        self.picture.remove_cursor()

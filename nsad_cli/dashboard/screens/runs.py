"""The runs screen: state, stage, progress, time left and headline metric of each run, and details of one."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Input, Static

from nsad_cli.dashboard.live.run_list import RunList
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.run_description import RunDescription
from nsad_cli.dashboard.screens.run_rows import COLUMNS, run_cells, runs_data
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.filter_box import FilterBox
from nsad_cli.dashboard.widgets.row_list import RowList
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import ComposeResult

    from nsad_cli.dashboard.export import ExportTable
    from nsad_cli.dashboard.live.run_status import RunRow

FRAME_SECONDS = 0.05
"""If refreshing the list takes longer than this, refreshes are less frequent."""
REST_FACTOR = 10.0
"""Minimum interval of slow refreshes, as a multiple of the duration of the last one."""


class RunsView(View):
    """The list of runs, latest first, and a description of the run under the cursor."""

    NAME = "runs"
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-high")]  # noqa: RUF012 (as declared by Textual)
    DEFAULT_CSS = """
    RunsView #list { height: 1fr; }
    RunsView #detail { height: 11; max-height: 45%; border-top: solid $panel; padding: 0 1; }
    RunsView.-low #detail { display: none; }
    RunsView.-detail-only #list { height: 3; }
    RunsView.-detail-only #detail { display: block; height: 1fr; max-height: 100%; }
    RunsView.-wide #split { layout: horizontal; }
    RunsView.-wide #list { width: 1fr; }
    RunsView.-wide #detail { width: 42%; height: 1fr; max-height: 100%; border-top: none; border-left: solid $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter by name, state and stage"),
        Binding("space", "mark", "Mark", tooltip="Mark a run: its curves are overlaid on those of the selected run"),
        Binding("d", "diff", "Diff", tooltip="Compare this run's recipe with that of the marked run"),
        Binding(
            "i",
            "toggle_detail",
            "Details",
            show=False,
            tooltip="Show the run's details on the full screen, or the list",
        ),
        Binding("escape", "show_all", "Show all", show=False),
    ]

    def body(self) -> ComposeResult:
        """Create the list with its filter, and the description."""
        with Container(id="split"):
            with Container(id="list"):
                yield RowList(COLUMNS, id="runs")
                yield FilterBox(placeholder="filter by name, state, stage")
            with VerticalScroll(id="detail") as detail:
                detail.border_title = "i: full screen"
                yield Static(id="about", markup=False)

    def on_mount(self) -> None:
        """Read the runs before the first frame, so that it shows the rows."""
        self._runs = RunList(self.context.home)
        self._all: list[RunRow] = []
        self._rows: list[RunRow] = []
        self._rest_until = 0.0
        self._shown: tuple[object, ...] | None = None
        with contextlib.suppress(OSError):  # the next tick reports it
            self.follow()

    # --- polling --------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Refresh the list, keeping the cursor on the same run."""
        started = time.monotonic()
        if started >= self._rest_until:
            self._all = self._runs.refresh(self.context.clock())
            took = time.monotonic() - started
            self._rest_until = started + REST_FACTOR * took if took > FRAME_SECONDS and not self._runs.pending else 0.0
        if self.context.run_name is None and self._all:
            self.context.run_name = self._all[0].path.name
        self.show_empty(None if self._all else _no_runs(self.context.home))
        self._list()
        if self._runs.pending:
            self.call_after_refresh(self.tick)

    def _list(self) -> None:
        current, rows, box = self.current_row, self.query_one(RowList), self.query_one(FilterBox)
        self._rows = self._all
        if box.value.strip():
            self._rows = [row for row in self._all if box.matches(row.name, row.state, row.stage)]
        place = next((index for index, row in enumerate(self._rows) if current and row.path == current.path), None)
        overlaid = [run.name for run in self.context.overlaid()]
        rows.show(
            len(self._rows),
            lambda index: run_cells(self._rows[index], self.context, overlaid, tints(self.app)),
            cursor=place,
        )
        lost = self.context.run_name is not None and self.context.run is None
        if self._all and not self._rows:
            self.show_notice(f"no run matches `{box.value}`: Escape shows all")
        elif lost:
            self.show_notice(f"{self.context.run_name} was deleted: press Enter to select another run")
        else:
            self.show_notice("")
        self._draw_description()

    @property
    def current_row(self) -> RunRow | None:
        """The run under the cursor."""
        cursor = self.query_one(RowList).cursor
        return self._rows[cursor] if cursor < len(self._rows) else None

    # --- the run under the cursor ---------------------------------------------------------------------------------

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._draw_description()

    def _draw_description(self) -> None:
        """Draw the description of the run under the cursor if it has changed."""
        row = self.current_row
        shown = (row, self.has_class("-normal"), self.context.clock() // 60)  # the description includes the run's age
        if shown != self._shown:
            self._shown = shown
            description = RunDescription(row, self.context.clock(), tints(self.app)) if row else None
            text = description.render(self.has_class("-normal")) if description else ""
            self.query_one("#about", Static).update(text)

    # --- keys -----------------------------------------------------------------------------------------------------

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        row = self.current_row
        if row is None:
            return
        if row.state in ("unreadable", "gone"):
            self.notify(row.why, severity="warning", markup=False)
            return
        self.context.run_name = row.path.name
        self.app.switch_mode("curves")

    def action_mark(self) -> None:
        """Mark or unmark the run under the cursor, and move to the next one."""
        row, marked = self.current_row, self.context.marked
        if row is None or row.state in ("unreadable", "gone"):
            return
        if row.path.name in marked:
            marked.remove(row.path.name)
        else:
            marked.append(row.path.name)
        self.query_one(RowList).cursor += 1
        self.tick()

    def action_diff(self) -> None:
        """Compare the recipe of the run under the cursor with that of the marked run, else of the selected one."""
        from nsad_cli.dashboard.screens.recipe_diff import DiffScreen

        row = self.current_row
        by_name = {other.path.name: other for other in self._all}
        names = [*self.context.marked, *([self.context.run_name] if self.context.run_name else [])]
        others = [by_name[name] for name in names if name in by_name and row and name != row.path.name]
        if row is None or not others:
            self.notify("Mark a run with space and move to another one: d compares their recipes")
            return
        self.app.push_screen(DiffScreen(others[0], row))

    def action_toggle_detail(self) -> None:
        """Show the description on the full screen except the run's row, or show the list again."""
        self.toggle_class("-detail-only")

    def action_filter(self) -> None:
        """Open the filter."""
        self.query_one(FilterBox).open()

    def action_show_all(self) -> None:
        """Clear the filter."""
        self.query_one(FilterBox).action_clear()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._list()

    @on(FilterBox.Closed)
    def _left(self) -> None:
        self.query_one(RowList).focus()

    def data(self) -> ExportTable:
        """Return the runs in the list, as a table."""
        return runs_data(self._rows)


def _no_runs(home: Path) -> str:
    """Return the text to show if there is no run yet."""
    return (
        f"There are no runs in {escape_controls(str(home))} yet.\n\nIn another terminal:\n"
        "nsad demo\ntrains a small model on arithmetic, without network access\n\n"
        "nsad run RECIPE\nruns your own recipe\n\n"
        "nsad dashboard --demo shows a recorded run."
    )

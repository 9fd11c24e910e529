"""The runs screen: each run's state, stage, progress, time left and key figure; details of the one under the cursor."""

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

    from nsad_cli.dashboard.export import Data
    from nsad_cli.dashboard.live.run_status import RunRow

FRAME_SECONDS = 0.05
"""If reading all runs takes longer than this, the next reading waits."""
REST_FACTOR = 10.0
"""How many times its own duration such a reading waits."""


class RunsView(View):
    """The runs, the latest first."""

    NAME = "runs"
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-high")]  # noqa: RUF012 (Textual's own form)
    DEFAULT_CSS = """
    RunsView #list { height: 1fr; }
    RunsView #detail { height: 11; max-height: 45%; border-top: solid $panel; padding: 0 1; }
    RunsView.-low #detail { display: none; }
    RunsView.-told #list { height: 3; }
    RunsView.-told #detail { display: block; height: 1fr; max-height: 100%; }
    RunsView.-wide #split { layout: horizontal; }
    RunsView.-wide #list { width: 1fr; }
    RunsView.-wide #detail { width: 42%; height: 1fr; max-height: 100%; border-top: none; border-left: solid $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter by name, state and stage: type"),
        Binding("space", "mark", "Mark", tooltip="Mark a run: its curves are laid over the others'"),
        Binding("d", "diff", "Diff", tooltip="What differs between this run's recipe and the marked one's"),
        Binding("i", "tell", "Whole", show=False, tooltip="Give the run's stages the screen, or the list again"),
        Binding("escape", "show_all", "Show all", show=False),
    ]

    def body(self) -> ComposeResult:
        """A list, what filters it, and the run under the cursor."""
        with Container(id="split"):
            with Container(id="list"):
                yield RowList(COLUMNS, id="runs")
                yield FilterBox(placeholder="filter by name, state, stage")
            with VerticalScroll(id="detail") as detail:
                detail.border_title = "i: whole"
                yield Static(id="about", markup=False)

    def on_mount(self) -> None:
        """Read before the first picture, so that it shows the rows."""
        self._runs = RunList(self.context.home)
        self._all: list[RunRow] = []
        self._rows: list[RunRow] = []
        self._rest_until = 0.0
        self._shown: tuple[object, ...] | None = None
        with contextlib.suppress(OSError):  # which the next look tells
            self.follow()

    # --- following ------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """List the runs, the cursor on the same one as before."""
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
        under, rows, box = self.under, self.query_one(RowList), self.query_one(FilterBox)
        self._rows = [row for row in self._all if box.matches(row.name, row.state, row.stage)]
        place = next((index for index, row in enumerate(self._rows) if under and row.path == under.path), None)
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
            self.show_notice(f"{self.context.run_name} is gone: Enter looks at another run")
        else:
            self.show_notice("")
        self._tell()

    @property
    def under(self) -> RunRow | None:
        """The run under the cursor."""
        cursor = self.query_one(RowList).cursor
        return self._rows[cursor] if cursor < len(self._rows) else None

    # --- the run under the cursor ---------------------------------------------------------------------------------

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._tell()

    def _tell(self) -> None:
        """Describe the run under the cursor, where there is something new to say."""
        row = self.under
        shown = (row, self.has_class("-normal"), self.context.clock() // 60)  # how long ago it was made is told too
        if shown != self._shown:
            self._shown = shown
            description = RunDescription(row, self.context.clock(), tints(self.app)) if row else None
            text = description.render(self.has_class("-normal")) if description else ""
            self.query_one("#about", Static).update(text)

    # --- keys -----------------------------------------------------------------------------------------------------

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        row = self.under
        if row is None:
            return
        if row.state in ("unreadable", "gone"):
            self.notify(row.why, severity="warning", markup=False)
            return
        self.context.run_name = row.path.name
        self.app.switch_mode("curves")

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go on to the next."""
        row, marked = self.under, self.context.marked
        if row is None or row.state in ("unreadable", "gone"):
            return
        if row.path.name in marked:
            marked.remove(row.path.name)
        else:
            marked.append(row.path.name)
        self.query_one(RowList).cursor += 1
        self.tick()

    def action_diff(self) -> None:
        """Compare the recipe of the run under the cursor with the marked one's, else with that of the one looked at."""
        from nsad_cli.dashboard.screens.recipe_diff import DiffScreen

        row = self.under
        by_name = {other.path.name: other for other in self._all}
        names = [*self.context.marked, *([self.context.run_name] if self.context.run_name else [])]
        others = [by_name[name] for name in names if name in by_name and row and name != row.path.name]
        if row is None or not others:
            self.notify("Mark one run with space and stand on another: d compares their recipes")
            return
        self.app.push_screen(DiffScreen(others[0], row))

    def action_tell(self) -> None:
        """Give the run under the cursor the screen, but for its row; or give it back to the list."""
        self.toggle_class("-told")

    def action_filter(self) -> None:
        """Type to filter."""
        self.query_one(FilterBox).open()

    def action_show_all(self) -> None:
        """Give the filter up."""
        self.query_one(FilterBox).action_clear()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._list()

    @on(FilterBox.Closed)
    def _left(self) -> None:
        self.query_one(RowList).focus()

    def data(self) -> Data:
        """The runs in the list."""
        return runs_data(self._rows)


def _no_runs(home: Path) -> str:
    """What to run if there is no run yet."""
    return (
        f"There are no runs in {escape_controls(str(home))} yet.\n\nIn another terminal:\n"
        "nsad demo\nteaches a small model arithmetic, without a network\n\n"
        "nsad run RECIPE\nruns a recipe of yours\n\n"
        "nsad dashboard --demo shows a run that was recorded."
    )

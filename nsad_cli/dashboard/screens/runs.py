"""Every run: its state, stage, progress, time left, key figure; the one under the cursor by its stages."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Input, Static

from nsad_cli.dashboard.durations import AHEAD, ago, span
from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.live.run_list import RunList
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.run_detail import as_typed, next_steps, outcome
from nsad_cli.dashboard.themes import CURVES, GLYPHS, tints
from nsad_cli.dashboard.widgets.filter_box import FilterBox
from nsad_cli.dashboard.widgets.row_list import Cell, Column, RowList
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from nsad_cli.dashboard.live.run_files import Stage
    from nsad_cli.dashboard.live.run_status import RunRow

STATES = {
    "running": ("▶", "primary"),
    "stalled": ("!", "warning"),
    "finished": ("✓", "right"),
    "failed": ("✗", "wrong"),
    "interrupted": ("‖", "warning"),
    "stopped": ("■", "warning"),
    "empty": ("·", "dim"),
    "unreadable": ("?", "wrong"),
    "gone": ("-", "dim"),
    "reading": ("…", "dim"),
}
"""A glyph and a tint by state."""
FRAME, REST = 0.05, 10.0
"""Seconds; where a look at many thousands of runs takes longer, how many times as long the next one waits."""
COLUMNS = (
    Column("", 1),
    Column("run", least=12),
    Column("state", 13),
    Column("stage", 13, drop=4),
    Column("step", 9, number=True, drop=2),
    Column("left", 6, number=True, drop=1),
    Column("figure", 19, drop=3),
)


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
        self._runs = RunList(self.reader.home)
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
            self._all = self._runs.refresh(self.reader.clock())
            took = time.monotonic() - started
            self._rest_until = started + REST * took if took > FRAME and not self._runs.pending else 0.0
        if self.reader.run_name is None and self._all:
            self.reader.run_name = self._all[0].path.name
        self.say_empty(None if self._all else self._nothing())
        self._list()
        if self._runs.pending:
            self.call_after_refresh(self.tick)

    def _nothing(self) -> str:
        return (
            f"There are no runs in {escape_controls(str(self.reader.home))} yet.\n\nIn another terminal:\n"
            "nsad demo\nteaches a small model arithmetic, without a network\n\n"
            "nsad run RECIPE\nruns a recipe of yours\n\n"
            "nsad dashboard --demo shows a run that was recorded."
        )

    def _list(self) -> None:
        under, rows, box = self.under, self.query_one(RowList), self.query_one(FilterBox)
        self._rows = [row for row in self._all if box.matches(row.name, row.state, row.stage)]
        place = next((index for index, row in enumerate(self._rows) if under and row.path == under.path), None)
        overlaid = [run.name for run in self.reader.overlaid()]
        rows.show(len(self._rows), lambda index: self._cells(self._rows[index], overlaid), cursor=place)
        lost = self.reader.run_name is not None and self.reader.run is None
        if self._all and not self._rows:
            self.say(f"no run matches `{box.value}`: Escape shows all")
        elif lost:
            self.say(f"{self.reader.run_name} is gone: Enter looks at another run")
        else:
            self.say("")
        self._tell()

    @property
    def under(self) -> RunRow | None:
        """The run under the cursor."""
        cursor = self.query_one(RowList).cursor
        return self._rows[cursor] if cursor < len(self._rows) else None

    def _cells(self, row: RunRow, overlaid: Sequence[str]) -> Sequence[Cell]:
        name = row.path.name
        place = overlaid.index(name) if name in overlaid else None
        mark = Text("" if place is None else GLYPHS[place % len(GLYPHS)], CURVES[(place or 0) % len(CURVES)])
        looked_at = "bold" if name == self.reader.run_name else ""
        title = Text(row.name, looked_at).append(" (chosen)" if row.chosen else "", "dim")
        if row.state in ("unreadable", "gone"):
            return mark, title, self._state(row), row.why
        figure = row.figure
        return (
            mark,
            title,
            self._state(row),
            row.stage,
            _progress(row),
            span(row.left) if row.left is not None else "",
            f"{figure.text} {figure.kind}" if figure else "",
        )

    def _state(self, row: RunRow) -> Text:
        glyph, tint = STATES.get(row.state, ("·", "text"))
        return Text(f"{glyph} {row.state}", tints(self.app)[tint])

    # --- the run under the cursor ---------------------------------------------------------------------------------

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._tell()

    def _tell(self) -> None:
        """Describe the run under the cursor, where there is something new to say."""
        row = self.under
        shown = (row, self.has_class("-normal"), self.reader.clock() // 60)  # how long ago it was made is told too
        if shown != self._shown:
            self._shown = shown
            self.query_one("#about", Static).update(self._about(row) if row else "")

    def _about(self, row: RunRow) -> RenderableType:
        head, stages, more = self._head(row), self._stages(row), self._more(row)
        if not self.has_class("-normal") or not row.stages:
            return Group(head, Text(), stages, *([Text()] if row.stages else []), more)
        beside = Table.grid(padding=(0, 2, 0, 0), expand=True)
        beside.add_column(ratio=4)
        beside.add_column(ratio=3)
        beside.add_row(stages, Group(head, more))
        return beside

    def _head(self, row: RunRow) -> Text:
        """What it is, and where it stands."""
        said = Text().append(row.name, "bold").append(" (chosen)" if row.chosen else "")
        said.append("\n").append_text(self._state(row)).append(f"  {self._status(row)}")
        if row.why:
            said.append(f"\n{row.why}")
        if row.figure:
            said.append(f"\n{row.figure.text} {row.figure.kind} ({row.figure.of})")
        if self._ahead(row):
            said.append("\n! ", tints(self.app)["warning"])
            said.append(
                f"it tells of times {ago(self.reader.clock() - (row.latest or 0.0))}: one of the clocks is wrong"
            )
            if row.silent is not None:
                said.append("; whether it has stalled goes by what is seen from here")
        return said

    def _ahead(self, row: RunRow) -> bool:
        """Whether its clock and this machine's do not agree: it tells of times to come."""
        return row.latest is not None and row.latest > self.reader.clock() + AHEAD

    def _stages(self, row: RunRow) -> Table:
        """Each stage's state, duration and result."""
        stages = Table.grid(padding=(0, 1, 0, 0))
        for stage in row.stages:
            # A stage that says running beside a process that is gone was stopped, as the run's state tells.
            state = row.state if stage.state == "running" else stage.state
            glyph, tint = STATES.get(state, ("·", "text"))
            lines = [*([] if state == "finished" else [state]), *outcome(stage)]
            told = Text("\n".join(line for line in lines if line != row.why))  # which stands above
            took = Text(span(self._took(row, stage)), tints(self.app)["dim"], justify="right")
            stages.add_row(Text(glyph, tints(self.app)[tint]), Text(stage.name), took, told)
        return stages

    def _took(self, row: RunRow, stage: Stage) -> float | None:
        """Seconds; of one at work up to now, of one whose process was killed none is known."""
        if stage.state != "running":
            return stage.seconds
        if row.state not in ("running", "stalled") or stage.started > self.reader.clock() + AHEAD:
            return None
        return (stage.seconds or 0.0) + max(self.reader.clock() - stage.started, 0.0)

    def _more(self, row: RunRow) -> Text:
        """What to run next, and where it lies."""
        more = Text("next\n")
        for line in next_steps(row):
            more.append(f"  {line}\n", "bold" if line.startswith("nsad") else "")
        made = "" if row.created is None else f"\nmade {ago(self.reader.clock() - row.created)}"
        version = f" by NSAD {escape_controls(row.version)}" if row.version else ""
        return more.append(f"{escape_controls(as_typed(row.path))}{made}{version}", tints(self.app)["dim"])

    def _status(self, row: RunRow) -> str:
        """Where it is: stage, model and benchmark, steps, time left, silence."""
        parts = [f"{row.stage} {row.part}".strip()]
        if row.step is not None:
            parts.append(f"{row.step} of {row.total}")
        if row.left:
            parts.append(f"{span(row.left)} left")
        if row.state == "stalled":
            parts.append(f"no event for {span(row.silent)}{' since it is watched' if self._ahead(row) else ''}")
        return " · ".join(part for part in parts if part)

    # --- keys -----------------------------------------------------------------------------------------------------

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        row = self.under
        if row is None:
            return
        if row.state in ("unreadable", "gone"):
            self.notify(row.why, severity="warning", markup=False)
            return
        self.reader.run_name = row.path.name
        self.app.switch_mode("curves")

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go on to the next."""
        row, marked = self.under, self.reader.marked
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
        names = [*self.reader.marked, *([self.reader.run_name] if self.reader.run_name else [])]
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
        self.query_one(FilterBox).action_give_up()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._list()

    @on(FilterBox.Left)
    def _left(self) -> None:
        self.query_one(RowList).focus()

    def data(self) -> Data:
        """The runs in the list."""
        columns = ("run", "state", "stage", "part", "step", "total", "seconds_left", "figure", "value", "why", "path")
        return Data(
            columns,
            [
                (
                    row.name,
                    row.state,
                    row.stage,
                    row.part,
                    row.step,
                    row.total,
                    None if row.left is None else round(row.left, 1),
                    f"{row.figure.kind} {row.figure.of}" if row.figure else None,
                    row.figure.value if row.figure else None,
                    row.why,
                    row.path,
                )
                for row in self._rows
            ],
        )


def _progress(row: RunRow) -> str:
    """Step and total, else percent where they are long."""
    if row.step is None or not row.total or row.state == "finished":
        return ""
    told = f"{row.step}/{row.total}"
    return told if len(told) <= 9 else f"{row.step / row.total:.0%}"

"""Rows of the list of runs, and their CSV table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from nsad_cli.dashboard.export import ExportTable
from nsad_cli.dashboard.themes import CURVES, GLYPHS
from nsad_cli.dashboard.widgets.row_list import Cell, Column
from nsad_cli.utils.durations import span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nsad_cli.dashboard.context import DashboardContext
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
"""Glyph and colour name of each state."""
COLUMNS = (
    Column("", 1),
    Column("run", least=12),
    Column("state", 13),
    Column("stage", 13, drop=4),
    Column("step", 9, number=True, drop=2),
    Column("left", 6, number=True, drop=1),
    Column("metric", 19, drop=3),
)


def run_cells(row: RunRow, context: DashboardContext, overlaid: Sequence[str], tints: Mapping[str, str]) -> list[Cell]:
    """Return the cells of a run.

    Args:
        row: The run.
        context: Provides the selected run, whose name is bold.
        overlaid: Names of the runs whose curves are overlaid; each is marked with its curve's glyph and colour.
        tints: Colours by meaning; see `themes.tints`.
    """
    name = row.path.name
    place = overlaid.index(name) if name in overlaid else None
    mark = Text("" if place is None else GLYPHS[place % len(GLYPHS)], CURVES[(place or 0) % len(CURVES)])
    title = Text(row.name, "bold" if name == context.run_name else "").append(" (chosen)" if row.chosen else "", "dim")
    if row.state in ("unreadable", "gone"):
        return [mark, title, state_text(row, tints), row.why]
    headline = row.headline
    return [
        mark,
        title,
        state_text(row, tints),
        row.stage,
        _progress(row),
        span(row.seconds_left) if row.seconds_left is not None else "",
        f"{headline.text} {headline.kind}" if headline else "",
    ]


def state_text(row: RunRow, tints: Mapping[str, str]) -> Text:
    """Return a run's state with its glyph, in its colour."""
    glyph, tint = STATES.get(row.state, ("·", "text"))
    return Text(f"{glyph} {row.state}", tints[tint])


def _progress(row: RunRow) -> str:
    """Return step and total, or a percentage if they are too long."""
    if row.step is None or not row.total or row.state == "finished":
        return ""
    steps = f"{row.step}/{row.total}"
    return steps if len(steps) <= 9 else f"{row.step / row.total:.0%}"


def runs_data(rows: Sequence[RunRow]) -> ExportTable:
    """Return the runs as a table."""
    columns = ("run", "state", "stage", "part", "step", "total", "seconds_left", "figure", "value", "why", "path")
    return ExportTable(
        columns,
        [
            (
                row.name,
                row.state,
                row.stage,
                row.part,
                row.step,
                row.total,
                None if row.seconds_left is None else round(row.seconds_left, 1),
                f"{row.headline.kind} {row.headline.of}" if row.headline else None,
                row.headline.value if row.headline else None,
                row.why,
                row.path,
            )
            for row in rows
        ],
    )

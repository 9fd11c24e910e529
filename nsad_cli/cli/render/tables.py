"""The table style that all commands share, tables that adapt to the terminal's width, and the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Column, Table

HEADINGS = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no\nanswer",
    "truncated": "trun-\ncated",
    "filtered": "fil-\ntered",
    "bad_gold": "bad\ngold",
    "timeout": "time-\nout",
    "disputed": "dis-\nputed",
    "ungraded": "un-\ngraded",
}
"""The narrow headings of the ledger's columns, in order."""
MAIN_VERDICTS = ("correct", "wrong", "no_answer", "disputed")
MIN_COLUMN_WIDTH = 8
"""The minimum width of a column that may break or stretch, in cells."""
UNLIMITED = 10_000
"""A width at which no cell breaks."""
LEDGER_NAME_WIDTH = 24
"""The width reserved for a teacher or subject in the ledger, in cells."""
MAX_VERDICTS = 6
"""The number of verdicts that fit into 80 columns beside MATH's subjects."""


def new_table(title: str, *columns: str, left: int = 1) -> Table:
    """Create a plain table whose first `left` columns are text (left-aligned) and whose others are numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    table.caption_justify = "left"
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right")
    return table


class Fitted:
    """Renders the first of several forms of a table that fits without breaking a number, or else stacked rows.

    Columns that may break or stretch keep at least their min_width; all others are never broken.

    Args:
        *forms: The forms, the widest first.
        stacked: The form whose rows are stacked; None for the first.
    """

    def __init__(self, *forms: Table, stacked: Table | None = None) -> None:
        self.forms, self.stacked = forms, stacked or forms[0]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in self.forms:
            widths = (_min_width(console, options, column) for column in table.columns)
            if sum(widths) + _padding(table) <= options.max_width:
                yield table
                return
        yield from _stacked(self.stacked, options.max_width)


def keep(column: Column, cells: int) -> None:
    """Set the min_width of a column that may break to `cells`, or less if its content is narrower."""
    from rich.text import Text

    column.min_width = min(cells, max(Text.from_markup(str(cell)).cell_len for cell in (column.header, *column.cells)))


def never_break_numbers(table: Table, names: int = 2) -> None:
    """Let only the first `names` columns break over lines in a narrow terminal; numbers never break."""
    for i, column in enumerate(table.columns):
        column.no_wrap, column.overflow = i >= names, "fold"


def _padding(table: Table) -> int:
    """Return the cells outside the columns in a table from new_table: one at either edge, two between columns."""
    return 2 * len(table.columns)


def _min_width(console: Console, options: ConsoleOptions, column: Column) -> int:
    from rich.measure import Measurement

    wide = options.update(width=UNLIMITED)
    widest = max(Measurement.get(console, wide, cell).maximum for cell in (column.header, *column.cells))
    return widest if column.no_wrap and not column.ratio else min(widest, column.min_width or MIN_COLUMN_WIDTH)


def _stacked(table: Table, width: int) -> Iterator[RenderableType]:
    """Render a table without columns: each row is a line of its text cells, then its numbers with their headings."""
    from rich.text import Text

    def text(cell: Any) -> Text:
        return Text.from_markup(cell) if isinstance(cell, str) else Text()

    yield Text.from_markup(f"[bold]{table.title}[/]")
    for cells in zip(*(list(column.cells) for column in table.columns), strict=True):
        pairs = [(column, text(cell)) for column, cell in zip(table.columns, cells, strict=True)]
        words = [cell for column, cell in pairs if column.justify == "left" and column.header and cell.plain.strip()]
        yield Text("\n") + Text(" ").join(words)
        line = Text()
        for column, cell in pairs:
            if column.justify == "left" or not cell.plain.strip():
                continue  # text, or empty
            heading = " ".join(str(column.header).replace("-\n", "").split())
            item = Text(f"{heading} ", style="dim") + cell
            if line and line.cell_len + 2 + item.cell_len > width:
                yield line
                line = Text()
            line += Text("  ") + item
        yield line
    if table.caption:
        yield Text("\n") + Text.from_markup(f"[dim]{table.caption}[/]")


def ledger_table(rows: Sequence[dict[str, Any]]) -> Fitted:
    """Build the table of draws by teacher, subject and verdict, with totals and each verdict's share.

    If there are many kinds of verdict, the rarer ones share a column and the caption lists them. Right answers with a
    wrong step have a column if it fits, and their total is in the caption.
    """
    return Fitted(*(_ledger(rows, with_steps) for with_steps in ((True, False) if _wrong_steps(rows) else (False,))))


def _ledger(rows: Sequence[dict[str, Any]], with_steps: bool) -> Table:
    totals = _draws(rows)
    verdicts = [name for name in HEADINGS if name in totals]
    shown = verdicts if len(verdicts) <= MAX_VERDICTS else [name for name in verdicts if name in MAIN_VERDICTS]
    others = [name for name in verdicts if name not in shown]
    headings = [HEADINGS[name] for name in shown] + ["other"] * bool(others) + ["wrong\nstep"] * with_steps
    table = new_table("Ledger (draws; correct is D+, wrong is D−)", "teacher", *headings)
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.no_wrap = True

    def numbers(found: Counter[str]) -> list[int]:
        return [found[name] for name in shown] + [sum(found[name] for name in others)] * bool(others)

    def add(name: str, chosen: Sequence[dict[str, Any]]) -> None:
        steps = [_wrong_steps(chosen)] if with_steps else []
        table.add_row(plain(name), *map(str, numbers(_draws(chosen)) + steps))

    teachers = list(dict.fromkeys(row["teacher"] for row in rows))
    for teacher in teachers:
        mine = [row for row in rows if row["teacher"] == teacher]
        add(teacher, mine)
        subjects = list(dict.fromkeys(row["subject"] for row in mine))
        for subject in subjects if any(subjects) else ():
            add(f"  {subject or '(no subject)'}", [row for row in mine if row["subject"] == subject])
    if len(teachers) > 1:
        add("all", rows)
    if rows:
        table.add_row("share", *(percent(number / totals.total()) for number in numbers(totals)), style="dim")
    if rows:
        keep(table.columns[0], LEDGER_NAME_WIDTH)
    table.caption = "\n".join(_ledger_notes(rows, totals, others)) or None
    return table


def _ledger_notes(rows: Sequence[dict[str, Any]], totals: Counter[str], others: Sequence[str]) -> Iterator[str]:
    """Describe the verdicts that share a column, and the right answers with a wrong step."""
    if others:
        shares = (f"{totals[name]} {name} ({percent(totals[name] / totals.total())})" for name in others)
        yield "other: " + ", ".join(shares)
    if totals["correct"] and any("right_with_wrong_step" in row for row in rows):
        slips = _wrong_steps(rows)
        yield f"{slips} of {totals['correct']} right answers have a wrong step ({percent(slips / totals['correct'])})"


def _wrong_steps(rows: Sequence[dict[str, Any]]) -> int:
    """Count right draws with a wrong step."""
    return sum(row.get("right_with_wrong_step", 0) for row in rows)


def _draws(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    """Count draws by verdict."""
    found: Counter[str] = Counter()
    for row in rows:
        found[row["verdict"]] += row["draws"]
    return found


def plain(text: str) -> str:
    """Format a text for a cell: control characters and rich's markup are escaped."""
    from nsad_cli.utils.terminal_text import escape_controls

    return escape_controls(text).replace("[", "\\[")


def percent(share: float) -> str:
    """Format a fraction in percent; a positive one is never shown as 0.0%."""
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def p_value(p: float | None) -> str:
    """Format a p-value with three decimals; a dash if there is none."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def in_percent(low: float, high: float) -> str:
    """Format the limits of an interval of fractions, in percent."""
    return f"{100 * low:.1f}–{100 * high:.1f}"

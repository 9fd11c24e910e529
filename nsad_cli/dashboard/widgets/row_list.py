"""A virtual list with columns: only visible rows are created, so that 100,000 rows open at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.style import Style
    from textual import events

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list.

    If the columns do not fit, those with the highest `drop` are hidden first. If the others still do not fit, the
    widest column of fixed width is narrowed repeatedly, down to one cell each; then the flexible ones.

    Attributes:
        title: The heading.
        width: The width in cells; 0: flexible, an equal share of the remaining width.
        number: Whether the cells are right-aligned.
        drop: Priority for hiding the column; 0: never hidden.
        least: Minimum width of a flexible column before other columns are hidden.
    """

    title: str
    width: int = 0
    number: bool = False
    drop: int = 0
    least: int = 8


class RowList(ScrollView, can_focus=True):
    """A list whose rows are created when they become visible, with a cursor; posts Moved and Chosen."""

    DEFAULT_CSS = """
    RowList { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    RowList > .row-list--head { text-style: bold; color: $foreground 70%; background: $panel; }
    RowList > .row-list--cursor { background: $primary 25%; }
    RowList:focus > .row-list--cursor { background: $primary 50%; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-list--head", "row-list--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "A page up", show=False),
        Binding("pagedown", "page(1)", "A page down", show=False),
        Binding("home", "go(0)", "First", show=False),
        Binding("end", "go(-1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]
    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor has moved to another row."""

        def __init__(self, rows: RowList, index: int) -> None:
            super().__init__()
            self.rows, self.index = rows, index

        @property
        def control(self) -> RowList:
            """The list that posted the message."""
            return self.rows

    class Chosen(Moved):
        """A row was chosen with Enter, or by a click on the row under the cursor."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, classes=classes)
        self.columns = tuple(columns)
        self._count = 0
        self._cells_of: Callable[[int], Sequence[Cell]] = lambda _: ()

    @property
    def count(self) -> int:
        """Number of rows."""
        return self._count

    def show(self, count: int, row: Callable[[int], Sequence[Cell]], *, cursor: int | None = None) -> None:
        """Show `count` rows; `row(i)` returns the cells of row i and is called when the row becomes visible."""
        self._count, self._cells_of = count, row
        self.virtual_size = Size(0, count + 1)
        self.cursor = max(0, min(self.cursor if cursor is None else cursor, count - 1))
        self.refresh()

    def validate_cursor(self, cursor: int) -> int:
        """Clamp the cursor to the rows."""
        return max(0, min(cursor, self._count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Scroll to the row and post Moved."""
        self.on_resize()
        self.refresh()
        if old != new:
            self.post_message(self.Moved(self, new))

    def on_resize(self) -> None:
        """Scroll to the cursor's row."""
        if self._count and self.size.height:
            # The header covers the first line, so the row is one line further down.
            self.scroll_to_region(Region(0, self.cursor, 1, 2), animate=False, force=True)

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self.cursor += by

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self.cursor += by * max(self.size.height - 2, 1)

    def action_go(self, to: int) -> None:
        """Move the cursor to a row; -1 is the last one."""
        self.cursor = to if to >= 0 else self._count - 1

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self._count:
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row clicked on; choose it if the cursor was there already."""
        index = event.y - 1 + self.scroll_offset.y
        if event.y < 1 or not 0 <= index < self._count:
            return
        if index == self.cursor:
            self.action_choose()
        self.cursor = index

    def widths(self, total: int) -> list[int]:
        """Return each column's width for a total width of `total`; 0 for hidden columns."""
        widths = [column.width or column.least for column in self.columns]

        def overflow() -> int:
            """Return the number of cells that do not fit."""
            return sum(widths) + sum(width > 0 for width in widths) - 1 - total

        for index, column in sorted(enumerate(self.columns), key=lambda item: -item[1].drop):
            if column.drop and overflow() > 0:
                widths[index] = 0
        fixed = [index for index, column in enumerate(self.columns) if column.width and widths[index]]
        flexible = [index for index, column in enumerate(self.columns) if not column.width and widths[index]]
        for shrinking in (fixed, flexible):
            while shrinking and overflow() > 0 and (most := max(widths[index] for index in shrinking)) > 1:
                widths[next(index for index in shrinking if widths[index] == most)] -= 1
        if flexible:
            left = sum(widths[index] for index in flexible) - min(overflow(), 0)
            for place, index in enumerate(flexible):
                widths[index] = left // len(flexible) + (place < left % len(flexible))
        return widths

    def render_line(self, y: int) -> Strip:
        """Render the header or a row."""
        width = self.scrollable_content_region.width
        if y == 0:
            style = self.get_component_rich_style("row-list--head")
            return self._line([column.title for column in self.columns], width, style)
        index = y - 1 + self.scroll_offset.y
        if index >= self._count:
            return Strip.blank(width, self.rich_style)
        style = self.get_component_rich_style("row-list--cursor") if index == self.cursor else self.rich_style
        return self._line(self._cells_of(index), width, style)

    def _line(self, cells: Sequence[Cell], width: int, style: Style) -> Strip:
        line, widths = Text(no_wrap=True, end=""), self.widths(width)
        rest = [room for room in widths[len(cells) - 1 :] if room]
        for index, (cell, column, own_room) in enumerate(zip(cells, self.columns, widths, strict=False)):
            # the last cell of a short row spans the remaining columns
            room = sum(rest) + max(len(rest) - 1, 0) if index == len(cells) - 1 else own_room
            if not room:
                continue
            text = cell.copy() if isinstance(cell, Text) else Text(cell)
            text.truncate(
                room, overflow="ellipsis" if room > 2 else "crop"
            )  # in one or two cells, a glyph is more useful than an ellipsis
            spare = " " * (room - text.cell_len)
            line.append(" " if line else "")
            line = line + Text(spare) + text if column.number else line + text + Text(spare)
        segments = [
            Segment(part.text, style + part.style if part.style else style) for part in line.render(self.app.console)
        ]
        return Strip(segments).adjust_cell_length(width, style)

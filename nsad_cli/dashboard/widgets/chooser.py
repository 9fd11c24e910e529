"""A modal dialog to choose one item from a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from nsad_cli.dashboard.widgets.row_list import Column, RowList
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult


class Chooser(ModalScreen[int | None]):
    """A list dialog; returns the index of the chosen item, or None if it was cancelled with Escape."""

    CSS = """
    Chooser { align: center middle; }
    #choices { width: 90%; max-width: 100; height: 60%; padding: 0 1; border: round $primary; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", "Close")]

    def __init__(self, title: str, choices: Sequence[str], cursor: int = 0) -> None:
        super().__init__()
        self.title, self.choices, self.initial = title, choices, cursor

    def compose(self) -> ComposeResult:
        """Create the list."""
        with Vertical(id="choices"):
            yield Static(f"{self.title} (Enter: choose, Escape: close)", markup=False)
            yield RowList([Column("")])

    def on_mount(self) -> None:
        """Show the choices and focus the list."""
        rows = self.query_one(RowList)
        rows.show(len(self.choices), lambda index: (escape_controls(self.choices[index]),), cursor=self.initial)
        rows.focus()

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Return the chosen index."""
        event.stop()
        self.dismiss(event.index)

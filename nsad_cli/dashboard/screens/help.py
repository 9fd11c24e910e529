"""`?`: every key that does something here, from the bindings themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

if TYPE_CHECKING:
    from textual.app import ComposeResult


class Help(ModalScreen[None]):
    """The keys of the screen below, those of what has the focus first."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "Close")]

    def __init__(self, keys: list[tuple[str, str, str]]) -> None:
        """keys: (where it holds, key, what it does)."""
        super().__init__()
        self.keys = keys

    def compose(self) -> ComposeResult:
        """A table by place."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold")
        table.add_column()
        place = None
        for where, key, what in self.keys:
            if where != place:
                table.add_row("", "")
                table.add_row("", f"[bold underline]{where}[/]")
                place = where
            table.add_row(key, what)
        with VerticalScroll(id="help"):
            yield Static("Keys (Escape closes)")
            yield Static(table)

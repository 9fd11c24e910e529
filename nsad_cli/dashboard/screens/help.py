"""The help dialog (`?`): all key bindings that are active on a screen."""

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
    """A dialog that lists key bindings, those of the focused widget first."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "Close")]

    def __init__(self, keys: list[tuple[str, str, str]]) -> None:
        """Create the dialog.

        Args:
            keys: (scope, key, description) of each binding, sorted by scope.
        """
        super().__init__()
        self.keys = keys

    def compose(self) -> ComposeResult:
        """Create the table of bindings, grouped by scope."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold")
        table.add_column()
        current = None
        for scope, key, description in self.keys:
            if scope != current:
                table.add_row("", "")
                table.add_row("", f"[bold underline]{scope}[/]")
                current = scope
            table.add_row(key, description)
        with VerticalScroll(id="help"):
            yield Static("Keys (Escape closes)")
            yield Static(table)

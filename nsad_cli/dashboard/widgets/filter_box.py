"""An input field that filters a list."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FilterBox(Input):
    """The filter input; Enter and the arrow keys return to the list, Escape clears the filter."""

    DEFAULT_CSS = """
    FilterBox { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    FilterBox:focus { border: none; }
    FilterBox.-shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Show all"),
        Binding("enter,up,down", "close", "Back to the list", show=False),
    ]

    class Closed(Message):
        """The user has left the field; the list should get the focus."""

    def open(self) -> None:
        """Show and focus the field."""
        self.add_class("-shown")
        self.focus()

    def action_clear(self) -> None:
        """Clear and hide the field."""
        self.value = ""
        self.action_close()

    def action_close(self) -> None:
        """Return to the list; a non-empty filter stays active and visible."""
        self.set_class(bool(self.value), "-shown")
        self.post_message(self.Closed())

    def matches(self, *texts: str) -> bool:
        """Return whether every word of the filter occurs in one of the texts."""
        text = "\n".join(texts).casefold()
        return all(word in text for word in self.value.casefold().split())

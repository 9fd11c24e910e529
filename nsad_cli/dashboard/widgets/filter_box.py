"""A line to filter a list by typing."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FilterBox(Input):
    """Sends what is typed; Enter and the arrows go back to the list, Escape gives the filter up."""

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
        """The list is to have the focus again."""

    def open(self) -> None:
        """Show it, ready to type in."""
        self.add_class("-shown")
        self.focus()

    def action_clear(self) -> None:
        """Clear and hide it."""
        self.value = ""
        self.action_close()

    def action_close(self) -> None:
        """Back to the list; what is typed stays in force, and in sight."""
        self.set_class(bool(self.value), "-shown")
        self.post_message(self.Closed())

    def matches(self, *texts: str) -> bool:
        """Whether every word typed occurs in one of the texts."""
        text = "\n".join(texts).casefold()
        return all(word in text for word in self.value.casefold().split())

"""A bar of a run's stages with the selected one highlighted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.message import Message
from textual.widgets import Static

from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events


class StageBar(Static):
    """A bar of the stages that fit around the selected one, with ‹ and › if there are more; a click selects a stage."""

    DEFAULT_CSS = "StageBar { height: 1; }"

    class Chosen(Message):
        """A stage was clicked on."""

        def __init__(self, stage: str) -> None:
            super().__init__()
            self.stage = stage

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, markup=False)
        self._columns: list[tuple[int, int, str]] = []

    def show(self, stages: Sequence[str], current: str, live: str | None) -> None:
        """Draw the bar; `live` is the stage that is running, if any."""
        labels = [f" {'▸' if stage == live else ''}{escape_controls(stage)} " for stage in stages]
        width, current_index = max(self.size.width - 4, 10), list(stages).index(current)
        first = last = current_index
        while True:
            used = sum(map(len, labels[first : last + 1]))
            if last + 1 < len(labels) and used + len(labels[last + 1]) <= width:
                last += 1
            elif first and used + len(labels[first - 1]) <= width:
                first -= 1
            else:
                break
        text = Text("‹ " if first else "  ", no_wrap=True, overflow="ellipsis", end="")
        self._columns = []
        for stage, label in list(zip(stages, labels, strict=True))[first : last + 1]:
            start = text.cell_len
            text.append(label, "bold reverse" if stage == current else "")
            self._columns.append((start, text.cell_len, stage))
        text.append(" ›" if last + 1 < len(labels) else "")
        self.update(text)

    def on_click(self, event: events.Click) -> None:
        """Select the stage under the mouse."""
        for start, end, stage in self._columns:
            if start <= event.x < end:
                self.post_message(self.Chosen(stage))

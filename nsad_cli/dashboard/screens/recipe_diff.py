"""Dialog that compares two runs' resolved recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from nsad_cli.config.recipe_diff import differing, settings
from nsad_cli.dashboard.widgets.row_list import Column, RowList
from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from nsad_cli.dashboard.live.run_status import RunRow


class DiffScreen(ModalScreen[None]):
    """The settings that differ, and below them the full values of the one under the cursor."""

    DEFAULT_CSS = """
    DiffScreen { align: center middle; }
    DiffScreen #diff { width: 96%; height: 90%; border: round $primary; background: $surface; padding: 0 1; }
    DiffScreen #said { height: 1; text-style: bold; }
    DiffScreen #whole { height: auto; max-height: 40%; border-top: solid $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,d,q", "dismiss", "Close")]

    def __init__(self, one: RunRow, other: RunRow) -> None:
        super().__init__()
        self.one, self.other = one, other
        self.rows: list[tuple[str, str, str]] = []

    def compose(self) -> ComposeResult:
        """Create the summary, the list of settings, and the full values of one setting."""
        with Vertical(id="diff") as frame:
            frame.border_subtitle = "Escape closes"
            yield Static(id="said", markup=False)
            yield RowList([Column("setting"), Column(self.one.name), Column(self.other.name)], id="settings")
            yield Static(id="whole", markup=False)

    def on_mount(self) -> None:
        """Read both recipes and show the difference."""
        names = f"{self.one.name} and {self.other.name}"
        try:
            self.rows = differing(*(settings(row.path / "recipe.yaml") for row in (self.one, self.other)))
        except NsadError as error:
            text = str(error)
        else:
            count = len(self.rows)
            text = (
                f"{names} differ in {count} setting{'s' * (count > 1)}"
                if count
                else f"the recipes of {names} are identical"
            )
        self.query_one("#said", Static).update(text)
        self.query_one(RowList).show(len(self.rows), lambda index: self.rows[index])
        self.query_one(RowList).focus()
        self._show_setting(0)

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """Show the full values of the setting under the cursor."""
        self._show_setting(event.index)

    def _show_setting(self, index: int) -> None:
        text = Text()
        if index < len(self.rows):
            setting, one, other = self.rows[index]
            text.append(f"{setting}\n", "bold")
            text.append(f"{self.one.name}: {one}\n{self.other.name}: {other}")
        self.query_one("#whole", Static).update(text)

"""Base class of the screens: navigation bar, body, notice line, footer, polling, and background tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from rich.text import Text
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer, Static

from nsad_cli.dashboard.live.background import BackgroundTask
from nsad_cli.errors import NsadError
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual import events
    from textual.app import ComposeResult

    from nsad_cli.dashboard.context import AppWithContext, DashboardContext
    from nsad_cli.dashboard.export import ExportTable

T = TypeVar("T")


class NavigationBar(Static):
    """The numbered screens, with the current one highlighted, and the selected run; a click switches screens."""

    def __init__(self, name: str) -> None:
        super().__init__(id="bar", markup=False)
        self.current = name

    def show(self, run: str | None, marked_count: int) -> None:
        """Draw the bar."""
        app = cast("AppWithContext", self.app)
        text = Text(" ", no_wrap=True, overflow="ellipsis", end="")
        self._targets: list[tuple[int, int, str]] = []
        names = [(str(i), name) for i, name in enumerate(app.MODES, 1)]
        short = self.size.width < 66
        for number, name in names:
            start = text.cell_len
            label = f" {number} {name.capitalize()} " if not short or name == self.current else f" {number} "
            text.append(label, "bold reverse" if name == self.current else "")
            self._targets.append((start, text.cell_len, name))
        more = f" +{marked_count}" if marked_count else ""
        if run:
            text.append(f"  {escape_controls(run)}{more}", "bold")
        self.update(text)

    def on_click(self, event: events.Click) -> None:
        """Switch to the screen under the mouse."""
        for start, end, name in self._targets:
            if start <= event.x < end:
                self.app.switch_mode(name)


class View(Screen[None]):
    """Base class of the dashboard's screens.

    Subclasses implement `body`, and `follow`, which reads new data and shows it. `follow` is called when the screen is
    shown and twice a second while it is visible, and must return within a frame (50 ms): longer work is done in parts
    or with `run_in_background`. If it raises NsadError or OSError, the error is shown in the notice line.
    """

    NAME: ClassVar[str]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal"), (110, "-wide")]  # noqa: RUF012 (as declared by Textual)

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._background: dict[str, BackgroundTask[Any]] = {}

    @property
    def context(self) -> DashboardContext:
        """The state shared by all screens."""
        return cast("AppWithContext", self.app).context

    def compose(self) -> ComposeResult:
        """Create the common widgets around the body."""
        yield NavigationBar(self.NAME)
        yield Static(id="empty", markup=False)
        with Container(id="body"):
            yield from self.body()
        yield Static(id="notice", markup=False)
        yield Footer(compact=True)

    def body(self) -> ComposeResult:
        """Create the widgets of this screen."""
        raise NotImplementedError

    def follow(self) -> None:
        """Read new data and show it."""
        raise NotImplementedError

    def data(self) -> ExportTable | None:
        """Return the data shown, for the CSV export; None if there is none."""
        return None

    def show_empty(self, text: str | None) -> None:
        """Show a text in place of the body if there is no data yet; None shows the body."""
        self.query_one("#empty", Static).update(escape_controls(text or ""))
        self.set_class(text is not None, "-empty")

    def no_run_text(self, no_run: str) -> str:
        """Return the text to show without a run: that the selected run was deleted, or `no_run` if none is selected."""
        missing = self.context.run_name
        return f"The run {missing} no longer exists; select another one on screen 1." if missing else no_run

    def show_notice(self, text: str) -> None:
        """Show a warning in the notice line, above the footer; an empty text hides the line."""
        self.query_one("#notice", Static).update(escape_controls(text))
        self.set_class(bool(text), "-notice")

    def run_in_background(
        self,
        name: str,
        produce: Callable[[], Iterator[T]],
        on_item: Callable[[T], None],
        on_end: Callable[[NsadError | None], None],
    ) -> None:
        """Run a generator in a thread; a running task of the same name is cancelled first.

        Args:
            name: Name of the task.
            produce: Returns the generator.
            on_item: Called with each item, on the screen's thread.
            on_end: Called at the end with the error, or None, on the screen's thread.
        """
        self.cancel_background(name)
        self._background[name] = BackgroundTask(self, produce, on_item, on_end)

    def busy(self, *names: str) -> bool:
        """Return whether any of these background tasks is running; without names, whether any task is."""
        return any(self._background[name].running for name in names or self._background if name in self._background)

    def cancel_background(self, *names: str) -> None:
        """Cancel these background tasks; without names, all of them."""
        for name in names or list(self._background):
            if name in self._background:
                self._background.pop(name).cancel()

    def on_unmount(self) -> None:
        """Cancel all background tasks."""
        self.cancel_background()

    def tick(self) -> None:
        """Call `follow` and show its error, if any; the next tick tries again."""
        if not (self.is_mounted and self.is_attached and self.is_running):  # still starting, or closing
            return
        self.query_one(NavigationBar).show(
            self.context.run_name, len([n for n in self.context.marked if n != self.context.run_name])
        )
        try:
            self.follow()
        except NsadError as error:
            self.show_notice(str(error))
        except OSError as error:
            self.show_notice(f"cannot read: {error}")

    def on_screen_resume(self) -> None:
        """Poll at once."""
        self.call_after_refresh(self.tick)

    def on_resize(self) -> None:
        """Redraw the navigation bar and the footer for the new width."""
        self.query_one(Footer).show_command_palette = self.size.width >= 70
        self.call_after_refresh(self.tick)

"""What every screen is: the bar of screens, a body, a line for what is amiss, the keys; how it follows the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from rich.text import Text
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer, Static

from nsad_cli.dashboard.live.background import Background
from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual import events
    from textual.app import ComposeResult

    from nsad_cli.dashboard.context import AppWithContext, DashboardContext
    from nsad_cli.dashboard.export import Data

T = TypeVar("T")


class NavigationBar(Static):
    """The screens by number, the one in use marked, and the run looked at; a click changes the screen."""

    def __init__(self, name: str) -> None:
        super().__init__(id="bar", markup=False)
        self.current = name

    def show(self, run: str | None, marked_count: int) -> None:
        """Draw it anew."""
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
            text.append(f"  {run}{more}", "bold")
        self.update(text)

    def on_click(self, event: events.Click) -> None:
        """Go to the screen under the pointer."""
        for start, on_end, name in self._targets:
            if start <= event.x < on_end:
                self.app.switch_mode(name)


class View(Screen[None]):
    """A screen of the dashboard.

    Subclasses give `body`, and `follow`, which reads what is new and shows it. It is called when the screen is shown
    and twice a second while it is, and must be done within a frame (50 ms): longer work goes in parts, or `behind` the
    screen. NsadError and OSError that it raises are shown in the line above the keys.
    """

    NAME: ClassVar[str]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal"), (110, "-wide")]  # noqa: RUF012 (Textual's own form)

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._background: dict[str, Background[Any]] = {}

    @property
    def context(self) -> DashboardContext:
        """What the screens have in common."""
        return cast("AppWithContext", self.app).context

    def compose(self) -> ComposeResult:
        """The frame around the body."""
        yield NavigationBar(self.NAME)
        yield Static(id="empty", markup=False)
        with Container(id="body"):
            yield from self.body()
        yield Static(id="notice", markup=False)
        yield Footer(compact=True)

    def body(self) -> ComposeResult:
        """The widgets of this screen."""
        raise NotImplementedError

    def follow(self) -> None:
        """Read what is new and show it."""
        raise NotImplementedError

    def data(self) -> Data | None:
        """What is shown, as a table for CSV."""
        return None

    def show_empty(self, text: str | None) -> None:
        """Show what to run in place of the body, where there is nothing to show yet; None shows the body."""
        self.query_one("#empty", Static).update(text or "")
        self.set_class(text is not None, "-empty")

    def no_run_text(self, no_run: str) -> str:
        """What to say where there is no run to look at: that it has gone, or `otherwise`."""
        missing = self.context.run_name
        return f"The run {missing} is not there any more; choose another on screen 1." if missing else no_run

    def show_notice(self, text: str) -> None:
        """Show what is amiss in the line above the keys; an empty text clears it."""
        self.query_one("#notice", Static).update(text)
        self.set_class(bool(text), "-notice")

    def run_in_background(
        self,
        name: str,
        produce: Callable[[], Iterator[T]],
        on_item: Callable[[T], None],
        on_end: Callable[[NsadError | None], None],
    ) -> None:
        """Run a generator in a thread: `take` gets its items, `end` why it failed, or None, on the screen's thread.

        Of one name only the latest runs: the one before is given up.
        """
        self.cancel_background(name)
        self._background[name] = Background(self, produce, on_item, on_end)

    def busy(self, *names: str) -> bool:
        """Whether any of these (of all, without names) runs behind the screen."""
        return any(self._background[name].running for name in names or self._background if name in self._background)

    def cancel_background(self, *names: str) -> None:
        """Want nothing more of these works, or (without names) of any."""
        for name in names or list(self._background):
            if name in self._background:
                self._background.pop(name).cancel()

    def on_unmount(self) -> None:
        """Want nothing more of what runs behind."""
        self.cancel_background()

    def tick(self) -> None:
        """Follow the files; a failure is told, and the next tick tries again."""
        if not (self.is_mounted and self.is_attached and self.is_running):  # not all there yet, or on its way out
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
        """Catch up at once."""
        self.call_after_refresh(self.tick)

    def on_resize(self) -> None:
        """The bar and the keys are drawn for the new width."""
        self.query_one(Footer).show_command_palette = self.size.width >= 70
        self.call_after_refresh(self.tick)

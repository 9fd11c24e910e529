"""The dashboard application: its screens, the key bindings common to all of them, and the polling timer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ScreenStackError, SystemCommand
from textual.binding import Binding, BindingType

from nsad_cli.dashboard.export import ExportTable, export, unused_name
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.themes import COLOUR_BLIND, DEFAULT
from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.dom import DOMNode
    from textual.screen import Screen

    from nsad_cli.dashboard.context import DashboardContext

FOLLOW_INTERVAL_SECONDS = 0.5
"""Seconds between two polls of the files."""
SLOW_EXPORT_SECONDS = 0.3
"""Seconds after which a notification reports that an export is still running."""


# Each screen is imported when it is first shown, which shortens the start-up.
def _runs() -> Screen[None]:
    from nsad_cli.dashboard.screens.runs import RunsView

    return RunsView()


def _curves() -> Screen[None]:
    from nsad_cli.dashboard.screens.curves import CurvesView

    return CurvesView()


def _machine() -> Screen[None]:
    from nsad_cli.dashboard.screens.machine import MachineView

    return MachineView()


def _votes() -> Screen[None]:
    from nsad_cli.dashboard.screens.votes import VotesView

    return VotesView()


def _data() -> Screen[None]:
    from nsad_cli.dashboard.screens.data import DataView

    return DataView()


class Dashboard(App[None]):
    """The dashboard: five screens that follow run folders while other processes write to them."""

    TITLE = "nsad"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        "runs": _runs,
        "curves": _curves,
        "machine": _machine,
        "votes": _votes,
        "data": _data,
    }
    CSS = """
    #bar { height: 1; background: $panel; }
    #body { height: 1fr; }
    #empty { display: none; height: 1fr; content-align: center middle; text-align: center; padding: 1 2; }
    #notice { display: none; height: 1; color: $warning; text-wrap: nowrap; text-overflow: ellipsis; }
    .-empty #body { display: none; }
    .-empty #empty { display: block; }
    .-notice #notice { display: block; }
    Help { align: center middle; }
    #help { width: 64; max-width: 95%; height: 90%; padding: 0 2; border: round $primary; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(i), f"switch_mode('{name}')", name.capitalize(), show=False) for i, name in enumerate(MODES, 1)),
        Binding("e", "export", "Export", tooltip="Export this view as SVG and its data as CSV"),
        Binding("question_mark", "keys", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, context: DashboardContext, first: str = "runs", exports: Path | None = None) -> None:
        """Create the dashboard.

        Args:
            context: The state shared by the screens.
            first: Name of the screen to show first.
            exports: Folder that `e` writes to; default: the current folder.
        """
        super().__init__()
        self.context, self.first, self.exports = context, first, exports or Path.cwd()
        self._export_name = ""
        """File name of the export that is running; empty if none is."""

    def on_mount(self) -> None:
        """Show the first screen and start polling."""
        self.register_theme(COLOUR_BLIND)
        self.theme = DEFAULT
        self.switch_mode(self.first)
        self.set_interval(FOLLOW_INTERVAL_SECONDS, self.follow_files)
        # Restore the terminal on SIGTERM. Only a process's main thread can install signal handlers.
        with contextlib.suppress(RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)

    def _fatal_error(self) -> None:
        """Exit without Textual's long traceback; the command that started the dashboard reports `failure`."""
        self.bell()
        self._close_messages_no_wait()

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the dashboard, if any."""
        return self._exception

    def follow_files(self) -> None:
        """Let the visible screen poll its files."""
        with contextlib.suppress(ScreenStackError):  # no screen is active between two screens
            if isinstance(self.screen, View):
                self.screen.tick()

    def action_export(self) -> None:
        """Export the view as it is now, in a thread, because a table may have a million rows."""
        view = self.screen
        if not isinstance(view, View):
            return
        if self._export_name:
            self.notify(f"still writing {self._export_name} …", markup=False)
            return
        try:
            data = view.data()
            svg, table = self.export_screenshot(title=f"nsad {view.NAME}"), data and data.detach()
        except NsadError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._export_name = unused_name(self.exports, f"nsad-{view.NAME}", self.context.clock())
        self.run_worker(self._write(self._export_name, svg, table))

    async def _write(self, name: str, svg: str, data: ExportTable | None) -> None:
        """Write in a thread and notify at the end; if the dashboard exits meanwhile, no partial file remains."""
        cancelled = Event()
        slow_timer = self.set_timer(SLOW_EXPORT_SECONDS, lambda: self.notify(f"writing {name} …", markup=False))
        try:
            paths = await asyncio.to_thread(export, self.exports, name, svg, data, cancelled.is_set)
            self.notify("\n".join(path.name for path in paths), title="Written", markup=False)
        except NsadError as error:
            self.notify(str(error), severity="error", markup=False)
        finally:
            cancelled.set()
            slow_timer.stop()
            self._export_name = ""

    def get_system_commands(self, screen: Screen[object]) -> Iterator[SystemCommand]:  # noqa: ARG002  # Textual's interface
        """List the commands of the command palette: the screens, and the actions common to all of them."""
        for name in self.MODES:
            yield SystemCommand(name.capitalize(), f"Go to the {name} screen", lambda name=name: self.switch_mode(name))
        yield SystemCommand("Export", "Export this view as SVG and its data as CSV", self.action_export)
        yield SystemCommand("Keys", "Show all key bindings of this screen", self.action_keys)
        yield SystemCommand("Theme", "Change the colour theme for this session", self.action_change_theme)
        yield SystemCommand("Quit", "Quit the dashboard; runs continue", self.action_quit)

    def action_keys(self) -> None:
        """Show all key bindings of this screen."""
        from nsad_cli.dashboard.screens.help import Help

        found: dict[tuple[str, str], list[str]] = {}
        for node, binding in [(b.node, b.binding) for b in self.screen.active_bindings.values()]:
            if binding.description and (binding.key, binding.action) in _own_bindings(node):
                where = "All screens" if node is self else "This screen" if node is self.screen else "List"
                key = self.get_key_display(binding)
                found.setdefault((where, binding.tooltip or binding.description), []).append(key)
        order = {"List": 0, "This screen": 1, "All screens": 2}
        keys = [(where, ", ".join(names), what) for (where, what), names in found.items()]
        self.push_screen(Help(sorted(keys, key=lambda item: order[item[0]])))


def _own_bindings(node: DOMNode) -> set[tuple[str, str]]:
    """Return (key, action) of each binding that NSAD's own classes define for a widget.

    Textual's own bindings are omitted: there are many, and few have an effect here.
    """
    classes = [kind for kind in type(node).__mro__ if kind.__module__.startswith(__package__)]
    found = [item for kind in classes for item in vars(kind).get("BINDINGS", ()) if isinstance(item, Binding)]
    return {(key, item.action) for item in found for key in item.key.split(",")}

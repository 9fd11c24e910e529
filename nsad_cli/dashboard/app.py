"""The dashboard's frame: its screens, what holds on all of them, and the beat at which they follow the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from nsad_cli.dashboard.export import export
from nsad_cli.dashboard.reader import Reader
from nsad_cli.dashboard.themes import COLOUR_BLIND, DEFAULT
from nsad_cli.dashboard.view import View
from nsad_cli.errors import NsadError

BEAT = 0.5
"""Seconds between two looks at the files."""


# Each screen is imported when it is first shown: the first one is there sooner.
def _runs() -> Screen[None]:
    from nsad_cli.dashboard.runs_view import RunsView

    return RunsView()


def _curves() -> Screen[None]:
    from nsad_cli.dashboard.curves_view import CurvesView

    return CurvesView()


def _machine() -> Screen[None]:
    from nsad_cli.dashboard.machine_view import MachineView

    return MachineView()


def _votes() -> Screen[None]:
    from nsad_cli.dashboard.votes_view import VotesView

    return VotesView()


def _data() -> Screen[None]:
    from nsad_cli.dashboard.data_view import DataView

    return DataView()


class Dashboard(App[None]):
    """Five screens over run folders that other processes write."""

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
        Binding("e", "export", "Export", tooltip="Write this view here as SVG and its data as CSV"),
        Binding("question_mark", "keys", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, reader: Reader, first: str = "runs", exports: Path | None = None) -> None:
        """exports: where `e` writes; the folder in which it was started, unless told."""
        super().__init__()
        self.reader, self.first, self.exports = reader, first, exports or Path.cwd()

    def on_mount(self) -> None:
        """Show the first screen and begin to follow."""
        self.register_theme(COLOUR_BLIND)
        self.theme = DEFAULT
        self.switch_mode(self.first)
        self.set_interval(BEAT, self.beat)

    def beat(self) -> None:
        """Let the screen in sight follow its files."""
        if isinstance(self.screen, View):
            self.screen.tick()

    def action_export(self) -> None:
        """Write the view."""
        view = self.screen
        if not isinstance(view, View):
            return
        try:
            svg = self.export_screenshot(title=f"nsad {view.NAME}")
            paths = export(self.exports, f"nsad-{view.NAME}", svg, view.data(), self.reader.clock())
        except NsadError as error:
            self.notify(f"{error.what}: {error.why}", severity="error")
            return
        self.notify("\n".join(path.name for path in paths), title="Written")

    def action_keys(self) -> None:
        """Show every key that holds here."""
        from nsad_cli.dashboard.help import Help

        found: dict[tuple[str, str], list[str]] = {}
        for node, binding in reversed([(b.node, b.binding) for b in self.screen.active_bindings.values()]):
            if binding.description and not binding.system:
                where = "Everywhere" if node is self else "Here" if node is self.screen else "In the list"
                key = self.get_key_display(binding)
                found.setdefault((where, binding.tooltip or binding.description), []).append(key)
        order = {"In the list": 0, "Here": 1, "Everywhere": 2}
        keys = [(where, ", ".join(names), what) for (where, what), names in found.items()]
        self.push_screen(Help(sorted(keys, key=lambda item: order[item[0]])))

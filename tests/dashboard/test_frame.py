"""What holds on every screen: keys and their help, the palette, the width of the keys' line."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Footer

from nsad_cli.dashboard.app import Dashboard
from nsad_cli.dashboard.screens.help import Help
from nsad_cli.dashboard.themes import COLOUR_BLIND
from tests.helpers.run_folders import collected, make_run
from tests.helpers.screens import dashboard, drive, screen_text

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

SCREENS = list(Dashboard.MODES)


@pytest.mark.parametrize("name", SCREENS)
def test_help_names_nsads_keys_alone(tmp_path: Path, name: str) -> None:
    make_run(tmp_path / "runs", "a", collected())
    app = dashboard(tmp_path / "runs", "a", name)

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, Help)
        assert "All screens" in screen_text(app)
        text = "\n".join(what for _, _, what in app.screen.keys)
        for what in ("Export this view as SVG and its data as CSV", "Quit", *map(str.capitalize, SCREENS)):
            assert what in text, what
        for foreign in ("Copy", "Page Left", "Scroll", "Focus", "palette"):
            assert foreign not in text, foreign
        await pilot.press("escape")
        await pilot.pause()
        assert "All screens" not in screen_text(app)

    drive(app, script, (120, 60))


def test_keys_are_told_in_the_order_in_which_they_are_bound(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "a", collected())
    app = dashboard(tmp_path / "runs", "a")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        text = screen_text(app)
        order = ["List", "Up", "Down", "This screen", "Filter by name", "All screens", "Runs", "Quit"]
        places = [text.index(item, text.index("Keys (")) for item in order]
        assert places == sorted(places)

    drive(app, script, (120, 60))


@pytest.mark.parametrize("name", SCREENS)
def test_the_palette_leads_to_every_screen(tmp_path: Path, name: str) -> None:
    make_run(tmp_path / "runs", "a", collected())
    app = dashboard(tmp_path / "runs", "a")

    async def script(pilot: Pilot[Any]) -> None:
        commands = [command.title for command in app.get_system_commands(app.screen)]
        assert commands == [*map(str.capitalize, SCREENS), "Export", "Keys", "Theme", "Quit"]
        await pilot.press("ctrl+p", *name)
        await pilot.pause(0.3)
        await pilot.press("enter")
        await pilot.pause()
        assert app.current_mode == name

    drive(app, script)


@pytest.mark.parametrize("width", [50, 80])
def test_the_keys_of_the_runs_fit_in_one_line(tmp_path: Path, width: int) -> None:
    make_run(tmp_path / "runs", "a", collected())
    app = dashboard(tmp_path / "runs", "a")

    async def script(_: Pilot[Any]) -> None:
        line = screen_text(app).splitlines()[-1]
        assert "Quit" in line
        assert ("palette" in line) == (width >= 70)
        footer = app.screen.query_one(Footer)
        assert footer.virtual_size.width <= footer.size.width

    drive(app, script, (width, 20))


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "colour-blind", "nord", "solarized-light"])
def test_every_theme_shows_the_runs(tmp_path: Path, theme: str) -> None:
    make_run(tmp_path / "runs", "a", collected())
    app = dashboard(tmp_path / "runs", "a")

    async def script(pilot: Pilot[Any]) -> None:
        app.theme = theme
        await pilot.pause()
        assert "✓ finished" in screen_text(app)
        await pilot.press("3")
        await pilot.pause()
        assert "this machine" in screen_text(app)

    drive(app, script)
    assert COLOUR_BLIND.name in app.available_themes


def test_screens_may_be_changed_faster_than_they_open(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "a", collected())
    app = dashboard(tmp_path / "runs", "a")

    async def script(pilot: Pilot[Any]) -> None:
        for key in "234531":
            app.follow_files()
            await pilot.press(key)
            app.follow_files()
        await pilot.pause()
        assert app.current_mode == "runs"

    drive(app, script)


@pytest.mark.parametrize("keys", [[], ["question_mark"], ["ctrl+p"], ["slash"]])
def test_ctrl_c_ends_it_from_anywhere(tmp_path: Path, keys: list[str]) -> None:
    make_run(tmp_path / "runs", "a", collected())
    app = dashboard(tmp_path / "runs", "a")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press(*keys)
        await pilot.pause()
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert not app.is_running
        assert app.return_code == 0

    drive(app, script)


def test_names_that_are_no_text_can_be_exported(tmp_path: Path) -> None:
    for name in ("a", "bad\udcff"):
        make_run(tmp_path / "runs", name, collected())
    app = dashboard(tmp_path / "runs", "a", exports=tmp_path)

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("e")
        await pilot.pause()
        (table,) = tmp_path.glob("*.csv")
        assert "bad" in table.read_text(encoding="utf-8")

    drive(app, script)


def test_what_cannot_be_exported_is_told_as_it_is(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "a", collected())
    (tmp_path / "[red]file").write_text("a file where a folder is to be")
    app = dashboard(tmp_path / "runs", "a", exports=tmp_path / "[red]file")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("e")
        await pilot.pause()
        (note,) = app._notifications
        assert "cannot write" in note.message
        assert "[red]file" in note.message
        assert not note.markup

    drive(app, script)


def test_the_first_screen_imports_nothing_that_takes_long() -> None:
    slow = {"numpy", "yaml", "psutil", "pynvml", "pydantic", "sqlite3", "torch", "transformers", "pandas"}
    code = (
        "import sys, nsad_cli.cli.main\nfrom nsad_cli.dashboard import app, context\n"
        "from nsad_cli.dashboard.screens import runs\n"
        f"print(sorted({slow} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

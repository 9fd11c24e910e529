"""Colours of every theme can be told from their ground."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from nsad_cli.dashboard.screens.curves import CurvesView
from nsad_cli.dashboard.themes import (
    COLOUR_BLIND,
    CURVES,
    GLYPHS,
    LINE,
    TEXT,
    contrast,
    curve_colours,
    tints,
    with_contrast,
)
from nsad_cli.dashboard.widgets import heat_map
from tests.helpers.screens import dashboard, drive

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

THEMES = [*BUILTIN_THEMES, COLOUR_BLIND.name]
ANSI = [name for name in THEMES if name.startswith("ansi")]
MEANT = ("right", "wrong", "warning", "accent", "primary", "dim")


def test_contrast_is_that_of_the_guidelines() -> None:
    black, white, grey = map(Color.parse, ("#000000", "#FFFFFF", "#767676"))
    assert contrast(black, white) == contrast(white, black) == pytest.approx(21)
    assert contrast(grey, white) == pytest.approx(4.54, abs=0.01)  # the lightest grey for text on white
    assert contrast(grey, grey) == 1


@given(st.tuples(*[st.integers(0, 255)] * 6))
def test_any_colour_becomes_readable_on_any_ground_and_changes_no_more_than_it_must(parts: tuple[int, ...]) -> None:
    red, green, blue, *behind = parts
    colour, ground = Color(red, green, blue), Color(behind[0], behind[1], behind[2])
    found = Color.parse(with_contrast(colour.hex, (ground.hex,), TEXT))
    assert contrast(found, ground) >= TEXT
    if contrast(colour, ground) >= TEXT:
        assert found == colour


def in_every_theme(app: Any, look: Any) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        for name in THEMES:
            app.theme = name
            await pilot.pause()
            look(name)

    drive(app, script, (80, 24))


def test_every_themes_colours_can_be_told_from_their_ground(tmp_path: Path) -> None:
    app: Any = dashboard(tmp_path)

    def look(name: str) -> None:
        theme, found, curves = app.theme_variables, tints(app), curve_colours(app)
        assert len(curves) == len(set(curves)) == len(CURVES) == len(GLYPHS)
        if name in ANSI:  # the terminal's own colours are left to the terminal
            own = Color.parse("#000000" if app.current_theme.dark else "#FFFFFF")
            assert found["right"] == theme["success"]
            assert all(contrast(Color.parse(curve), own) >= LINE for curve in curves)
            return
        background, surface = Color.parse(theme["background"]), Color.parse(theme["surface"])
        assert min(contrast(Color.parse(curve), background) for curve in curves) >= LINE, name
        for tint in MEANT:
            for ground in (background, surface):
                assert contrast(Color.parse(found[tint]), ground) >= TEXT, (name, tint)
        assert len({found[tint] for tint in ("right", "wrong", "dim")}) == 3, name

    in_every_theme(app, look)


def test_colours_that_can_be_read_are_the_themes_own(tmp_path: Path) -> None:
    app: Any = dashboard(tmp_path)

    async def script(pilot: Pilot[Any]) -> None:
        app.theme = "tokyo-night"
        await pilot.pause()
        theme, found = app.theme_variables, tints(app)
        assert [found["right"], found["wrong"]] == [theme["success"], theme["error"]]
        assert curve_colours(app) == CURVES

    drive(app, script, (80, 24))


def test_the_ends_of_a_heat_map_are_told_from_its_middle_in_every_theme(tmp_path: Path) -> None:
    app: Any = dashboard(tmp_path, None, "curves")

    def look(name: str) -> None:
        assert isinstance(app.screen, CurvesView)
        styles = app.screen.picture.heat_map._styles()[:-1]
        grounds = [Color.from_rich_color(style.bgcolor) for style in styles if style.bgcolor is not None]
        middle, levels = heat_map.LEVELS, 2 * heat_map.LEVELS + 1
        assert len(grounds) == levels == len(set(grounds))
        for end in (grounds[0], grounds[-1]):
            assert contrast(end, grounds[middle]) >= LINE, name
        for side in (grounds[: middle + 1][::-1], grounds[middle:]):
            steps = [contrast(ground, side[0]) for ground in side]
            assert all(a < b for a, b in itertools.pairwise(steps)), name

    in_every_theme(app, look)

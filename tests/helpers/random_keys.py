"""A dashboard under random keys while its runs are damaged, deleted, renamed and made anew."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.dashboard.app import Dashboard
from nsad_cli.dashboard.context import DashboardContext
from nsad_cli.utils.terminal_text import CONTROL_CATEGORIES
from tests.helpers import run_mishaps
from tests.helpers.screens import screen_text

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

LETTERS = "1122334455cdfglmnoprstvwxk/-+=0F?[],.<>jy e"
NAMED = """up down left right pageup pagedown home end enter enter escape escape tab shift+tab space backspace delete
ctrl+left ctrl+right shift+left shift+right"""
KEYS = (*LETTERS, *NAMED.split())
SIZES = ((120, 36), (80, 24), (50, 12), (20, 5), (160, 50), (2, 1))
VIEWS = ("runs", "curves", "machine", "votes", "data")


@dataclass
class Session:
    """What was done and seen."""

    keys: int = 0
    mishaps: int = 0
    slowest: float = 0.0
    """Seconds that the slowest key took."""
    slowest_key: str = ""
    controls: list[str] = field(default_factory=list)
    """Screens with a control character."""


def controls(text: str) -> set[str]:
    """The control characters of a screen, other than the line breaks between its rows."""
    return {char for char in text if char != "\n" and unicodedata.category(char) in CONTROL_CATEGORIES}


def random_session(pristine: Path, home: Path, seed: int, keys: int) -> Session:
    """Show copies of the runs in `pristine`, press random keys, and let mishaps happen to the runs.

    Raises:
        Exception: What the dashboard raised.
    """
    chance, session = random.Random(seed), Session()
    shutil.copytree(pristine, home)
    names = sorted(path.name for path in pristine.iterdir() if path.is_dir())
    app = Dashboard(DashboardContext(home, chance.choice(names)), chance.choice(VIEWS), exports=home.parent / "exports")

    async def run() -> None:
        async with app.run_test(size=chance.choice(SIZES[:3])) as pilot:
            await _press_keys(pilot, session, keys)

    async def _press_keys(pilot: Pilot[Any], session: Session, keys: int) -> None:
        while session.keys < keys and app.is_running:
            if chance.random() < 0.15:
                shown = app.context.run_name
                _mishap(
                    pristine, home, chance, shown if shown in names and chance.random() < 0.5 else chance.choice(names)
                )
                session.mishaps += 1
            if chance.random() < 0.03:
                await pilot.resize_terminal(*chance.choice(SIZES))
            key, began = chance.choice(KEYS), time.monotonic()
            await pilot.press(key)
            if chance.random() < 0.3:
                app.follow_files()
                await pilot.pause()
            session.keys += 1
            if (took := time.monotonic() - began) > session.slowest:
                session.slowest, session.slowest_key = took, f"{key} on {app.current_mode}"
            if found := controls(text := screen_text(app)):
                session.controls.append(f"after {key}: {found!r}\n{text}")

    asyncio.run(run())
    if app.failure is not None:
        raise app.failure
    return session


def _mishap(pristine: Path, home: Path, chance: random.Random, name: str) -> None:
    if chance.random() < 0.4:
        shutil.rmtree(home / name, ignore_errors=True)
        shutil.copytree(pristine / name, home / name)
    elif (home / name).is_dir():
        chance.choice(run_mishaps.MISHAPS)(home / name, chance)

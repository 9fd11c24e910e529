"""The data screen of the dashboard: driven over a folder of runs and read as text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from textual.pilot import Pilot

from nsad_cli.dashboard.app import Dashboard
from tests.helpers.screens import dashboard, drive, screen_text

if TYPE_CHECKING:
    from pathlib import Path

Script = Callable[[Pilot[Any]], Awaitable[None]]


async def steady(pilot: Pilot[Any]) -> str:
    """The screen, once no thread is at work for it, and what they told is shown."""
    for _ in range(2):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    assert isinstance(pilot.app, Dashboard)
    return screen_text(pilot.app)


async def look(pilot: Pilot[Any], *keys: str) -> str:
    """The screen after some keys, or after another look at the files."""
    if keys:
        await pilot.press(*keys)
    else:
        pilot.app.follow_files()  # type: ignore[attr-defined]
    return await steady(pilot)


def show(home: Path, script: Script, size: tuple[int, int] = (120, 36), run: str | None = "mine") -> None:
    """Drive the data screen over a folder of runs."""

    async def steadily(pilot: Pilot[Any]) -> None:
        await steady(pilot)
        await script(pilot)

    drive(dashboard(home, run, "data", exports=home), steadily, size)

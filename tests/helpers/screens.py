"""A dashboard without a terminal: driven by keys, read as text, kept as pictures of characters."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.dashboard.app import Dashboard
from nsad_cli.dashboard.context import DashboardContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.app import App
    from textual.pilot import Pilot

NOW = 1_790_000_000.0
"""The stopped clock of tests."""
SNAPSHOTS = Path(__file__).parent.parent / "dashboard" / "snapshots"
WRITE = os.environ.get("NSAD_SNAPSHOTS") == "write"  # now: a test's environment has no settings of NSAD's


def screen_text(app: App[Any]) -> str:
    """What the screen shows, line by line, without colours."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)


def drive(app: Dashboard, script: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int] = (120, 36)) -> None:
    """Run the app without a terminal and do what the script says."""

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await script(pilot)

    asyncio.run(run())


def dashboard(home: Path, run: str | None = None, first: str = "runs", **options: Any) -> Dashboard:
    """A dashboard over a folder of runs at a stopped clock."""
    return Dashboard(DashboardContext(home, run, clock=lambda: NOW), first, **options)


def check_snapshot(app: Dashboard, name: str) -> None:
    """Compare the screen with the stored one; NSAD_SNAPSHOTS=write stores it anew: look at the difference then."""
    path, text = SNAPSHOTS / f"{name}.txt", screen_text(app) + "\n"
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is not there: NSAD_SNAPSHOTS=write makes it"
    assert text == path.read_text(encoding="utf-8"), name

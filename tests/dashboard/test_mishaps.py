"""The dashboard on runs with hostile text, and on runs that are damaged, deleted, renamed and made anew meanwhile.

`python -m tests.benchmarks.dashboard_faults` presses more keys.
"""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import run_mishaps
from tests.helpers.data_screen import look
from tests.helpers.random_keys import controls, random_session
from tests.helpers.screens import dashboard, drive

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every kind, never changed."""
    home = tmp_path_factory.mktemp("pristine")
    run_mishaps.make_runs(home)
    return home


@pytest.mark.parametrize("name", ["hostile", "hostile-votes", "[bold]name[b]\x1b[31m"])
def test_no_control_character_of_any_field_reaches_a_screen(pristine: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(pristine / name, tmp_path / name)

    async def script(pilot: Pilot[Any]) -> None:
        for key in ("d", "escape", "2", "n", "3", "4", "enter", "v", "5", "down", "enter", "1"):
            shown = await look(pilot, key)
            assert not controls(shown), f"after {key}:\n{shown}"

    drive(dashboard(tmp_path, name), script)


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_that_happens_to_runs_ends_the_dashboard(pristine: Path, tmp_path: Path, seed: int) -> None:
    session = random_session(pristine, tmp_path / "runs", seed, keys=25)
    assert session.keys
    assert not session.controls, session.controls[0]


@pytest.mark.parametrize("mishap", run_mishaps.MISHAPS, ids=lambda mishap: mishap.__name__)
def test_each_mishap_to_the_run_that_is_shown(pristine: Path, tmp_path: Path, mishap: Any) -> None:
    shutil.copytree(pristine / "demo", tmp_path / "demo")

    async def script(pilot: Pilot[Any]) -> None:
        for number, key in enumerate("42"):
            await look(pilot, key)
            mishap(tmp_path / "demo", random.Random(number))
            assert not controls(await look(pilot))

    drive(dashboard(tmp_path, "demo"), script)

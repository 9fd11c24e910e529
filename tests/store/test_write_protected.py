"""Stores on a read-only file system can be read."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from nsad_cli.dashboard.demo_runs import recorded_runs
from nsad_cli.errors import NsadError
from nsad_cli.store.chains import ChainStore
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw, Problem
from tests.helpers.nsad_process import run_nsad
from tests.helpers.read_only import run_read_only

if TYPE_CHECKING:
    from pathlib import Path


def test_write_protected_stores_are_opened_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("p", "1+1?", "2", "test")
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems([problem])
        store.add_draws([Draw("p", "t", 0, "2")], "k")
    with ChainStore(tmp_path / "chains.sqlite"):
        pass
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.sqlite")}
    monkeypatch.setattr("os.access", lambda *_: False)
    with Store(tmp_path / "store.sqlite") as store:
        assert store.counts()["draws"] == 1
        with pytest.raises(NsadError, match="cannot use the store"):
            store.add_draws([Draw("p", "t", 1, "3")], "k")
    with ChainStore(tmp_path / "chains.sqlite") as chains:
        assert chains.sets() == []
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.sqlite")} == before


COMMANDS = ("runs", "stats --run demo", "vote --run demo", "data export --run demo {out}.jsonl")
SHOW = """
import sys
from pathlib import Path
from tests.helpers.data_screen import look, show
from tests.helpers.screens import screen_text
home = Path.cwd()
async def script(pilot):
    for key in "45":
        await pilot.press(key)
        print(await look(pilot))
    await pilot.press("e")
    await look(pilot)
    print([(item.severity, item.message) for item in pilot.app._notifications])
show(home, script, run="demo")
"""


def test_runs_on_a_read_only_file_system_are_read(tmp_path: Path) -> None:
    with recorded_runs() as home:
        commands = [f"{sys.executable} -m nsad_cli {command} --json" for command in COMMANDS]
        out = f"NSAD_HOME={home} " + f"; NSAD_HOME={home} ".join(commands).format(out=tmp_path / "read-only")
        done = run_read_only(home, out)
        assert done.returncode == 0, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        normal = []
        for command in COMMANDS:
            words = command.format(out=tmp_path / "normal").split()
            normal.append(json.loads(run_nsad(tmp_path, *words, "--json", NSAD_HOME=str(home)).stdout))
    assert found[:3] == normal[:3]
    assert (tmp_path / "read-only.jsonl").read_text() == (tmp_path / "normal.jsonl").read_text()


def test_the_dashboard_shows_runs_on_a_read_only_file_system_and_says_why_it_exports_nothing() -> None:
    with recorded_runs() as home:
        done = run_read_only(home, f"{sys.executable} -c '{SHOW}'")
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in home.iterdir()) == ["demo", "probe"]
    assert "unable to open" not in done.stdout
    assert "asc" in done.stdout
    assert "240 problems" in done.stdout
    assert "('error', 'cannot write" in done.stdout
    assert "Read-only file system" in done.stdout

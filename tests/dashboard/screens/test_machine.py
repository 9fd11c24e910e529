"""The machine screen, on a run's events and a machine that is always the same."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.dashboard.screens import machine as machine_view
from nsad_cli.dashboard.screens.machine import MachineView
from nsad_cli.utils.system_load import machine_load
from tests.helpers.run_folders import collected, event, make_run, stage
from tests.helpers.screens import check_snapshot, dashboard, drive, screen_text

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from nsad_cli.dashboard.app import Dashboard

CPU = {"cpu_percent": 37.5, "memory_gib": 6.25, "memory_total_gib": 16.0, "process_gib": 2.5}


def gpu(index: int, percent: int | None = 90) -> dict[str, Any]:
    return {
        "memory_gib": 40.0 + index,
        "total_gib": 79.6,
        "percent": percent,
        "power_watts": 600.5,
        "celsius": 60 + index,
        "name": "NVIDIA H100",
    }


def told(stage: str, count: int, **load: Any) -> list[dict[str, Any]]:
    """Events of a training stage that tell of their machine; CPU load and memory grow."""
    return [
        event(
            600 - 10 * i,
            stage,
            i,
            count,
            loss=1.0,
            **(CPU | {"cpu_percent": 10.0 * i, "memory_gib": 4 + i / 10}),
            **load,
        )
        for i in range(1, count + 1)
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One run on the CPU, with two stages, and one on two GPUs."""
    home = tmp_path / "runs"
    stages = {**collected(), "nat": stage("interrupted", 600, 100)}
    events = [event(700, "collect", 9, 9), *told("negative", 5), *told("nat", 8), event(9, "eval", 3, 50, model="nce")]
    make_run(home, "cpu", stages, events)
    make_run(home, "gpu", stages, told("nat", 8, gpus=[gpu(0), gpu(1, None)]), changed=10)
    return home


@pytest.fixture(autouse=True)
def _always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MachineView, "load", staticmethod(lambda: CPU))
    return


async def sampled(app: Dashboard, pilot: Pilot[Any]) -> None:
    """Wait until this machine was looked at, and drawn."""
    await app.workers.wait_for_complete()
    app.follow_files()
    await pilot.pause()


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (120, 36), (200, 50)])
@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_machine_at_every_width(home: Path, name: str, size: tuple[int, int]) -> None:
    app = dashboard(home, name, "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        check_snapshot(app, f"machine-{name}-{size[0]}")

    drive(app, script, size)


def test_without_a_gpu_it_is_said_plainly(home: Path) -> None:
    app = dashboard(home, "cpu", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        text = screen_text(app)
        assert "no GPU metrics in its events" in text
        assert "no GPU on this machine" in text
        assert "80 %" in text
        assert "peak" in text
        assert "6.2 of 16.0 GiB" in text
        assert "steps 1 to 8, last event 9 min ago" in text

    drive(app, script)


def test_stages_are_gone_through_and_the_newest_is_followed(home: Path) -> None:
    app = dashboard(home, "cpu", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        assert "cpu · nat" in screen_text(app)
        await pilot.press("left")
        assert "cpu · negative" in screen_text(app)
        assert "steps 1 to 5" in screen_text(app)
        await pilot.press("left", "right", "right")
        assert "cpu · nat" in screen_text(app)
        with (home / "cpu" / "events.jsonl").open("a") as file:
            file.write("".join(json.dumps(item) + "\n" for item in told("nce", 3)))
        app.follow_files()
        await pilot.pause()
        assert "cpu · nat" in screen_text(app), "who chose a stage keeps it"
        await pilot.press("f")
        assert "cpu · nce" in screen_text(app)

    drive(app, script)


def test_events_from_a_clock_that_is_ahead_are_told_as_such(home: Path) -> None:
    make_run(home, "ahead", collected(), [event(-7200 - i, "nat", i, 9, **CPU) for i in range(1, 5)])
    app = dashboard(home, "ahead", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        assert "steps 1 to 4, last event 2 h 00 ahead of this machine's clock" in screen_text(app)

    drive(app, script, (200, 50))


def test_an_old_log_without_totals_and_gpu_names_is_shown(home: Path) -> None:
    load = {"cpu_percent": 50.0, "memory_gib": 3.0, "process_gib": 1.0, "gpus": [{"memory_gib": 1.0, "percent": 5}]}
    make_run(home, "old", collected(), [event(60 - i, "nat", i, 9, **load) for i in range(1, 5)])
    app = dashboard(home, "old", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        text = screen_text(app)
        assert "GPU 0" in text
        assert "3.0 GiB" in text
        assert "power" not in text

    drive(app, script)


@pytest.mark.parametrize("name", [None, "new", "nowhere"])
def test_where_nothing_is_told_it_says_what_to_do(home: Path, tmp_path: Path, name: str | None) -> None:
    make_run(home, "new", {}, [event(9, "collect", 1, 9)])
    app = dashboard(home, name, "machine", exports=tmp_path / "out")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        text = screen_text(app)
        assert ("training stages log them" if name == "new" else "select a run on screen 1") in text
        assert "37 %" in text or "38 %" in text, "this machine is shown all the same"
        await pilot.press("left", "right", "f", "e")

    drive(app, script)


def test_a_run_that_vanishes_and_a_log_that_is_damaged(home: Path) -> None:
    app = dashboard(home, "cpu", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        with (home / "cpu" / "events.jsonl").open("a") as file:
            file.write("not json\n")
        app.follow_files()
        await pilot.pause()
        assert "1 line of events.jsonl cannot be read" in screen_text(app)
        assert "cpu · nat" in screen_text(app)
        (home / "cpu").rename(home / "elsewhere")
        app.follow_files()
        await pilot.pause()
        assert "no run selected" in screen_text(app)

    drive(app, script)


def test_this_machine_is_looked_at_only_while_the_screen_is_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(machine_view, "SAMPLE_SECONDS", 0.0)

    def look() -> dict[str, Any]:
        looks.append(1)
        return CPU

    monkeypatch.setattr(MachineView, "load", staticmethod(look))
    app = dashboard(home, "cpu", "runs")

    async def script(pilot: Pilot[Any]) -> None:
        app.follow_files()
        await pilot.pause()
        assert not looks
        await pilot.press("3")
        await sampled(app, pilot)
        assert looks
        await pilot.press("1")
        await pilot.pause()
        await app.workers.wait_for_complete()
        before = len(looks)
        app.follow_files()
        await pilot.pause()
        assert len(looks) == before

    drive(app, script)


def test_only_the_last_minutes_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_view, "SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(machine_view, "WINDOW_SECONDS", 0.2)
    app = dashboard(home, "cpu", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        view = app.screen
        assert isinstance(view, MachineView)
        await sampled(app, pilot)
        first = view._samples[0]
        await pilot.pause(0.3)
        await sampled(app, pilot)
        assert first not in view._samples
        assert view._samples

    drive(app, script)


def test_a_look_that_fails_is_no_crash(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> dict[str, Any]:
        raise OSError("no /proc here")

    monkeypatch.setattr(MachineView, "load", staticmethod(fails))
    app = dashboard(home, "cpu", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.pause(0.1)
        app.follow_files()
        await pilot.pause()
        assert "cannot read the load of this machine: no /proc here" in " ".join(screen_text(app).split())

    drive(app, script)


def test_the_real_machine_is_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MachineView, "load", staticmethod(machine_load))
    app = dashboard(home, "gpu", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        assert f"of {machine_load()['memory_total_gib']:.1f} GiB" in screen_text(app)

    drive(app, script)


def test_the_numbers_are_exported(home: Path, tmp_path: Path) -> None:
    app = dashboard(home, "gpu", "machine", exports=tmp_path / "out")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        await pilot.press("e")
        await pilot.pause()

    drive(app, script)
    (path,) = (tmp_path / "out").glob("nsad-machine-*.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    loads = [row["value"] for row in rows if row["machine"] == "gpu" and row["metric"] == "gpus.1.power_watts"]
    assert loads == ["600.5"] * 8
    assert [row["value"] for row in rows if row["machine"] == "gpu" and row["metric"] == "cpu_percent"][-1] == "80.0"
    assert {row["metric"] for row in rows if row["machine"] == "this"} == set(CPU)


def test_a_name_is_no_markup(home: Path) -> None:
    make_run(home, "[red]x", collected(), told("[b]nat", 3, gpus=[gpu(0) | {"name": "[blue]H100"}]))
    app = dashboard(home, "[red]x", "machine")

    async def script(pilot: Pilot[Any]) -> None:
        await sampled(app, pilot)
        assert "[red]x · [b]nat" in screen_text(app)
        assert "[blue]H100" in screen_text(app)

    drive(app, script, (120, 40))

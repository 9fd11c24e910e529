"""The runs screen, driven by keys."""

from __future__ import annotations

import csv
import json
import shutil
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.dashboard.screens.runs import RunsView
from nsad_cli.dashboard.widgets.filter_box import FilterBox
from nsad_cli.dashboard.widgets.row_list import RowList
from nsad_cli.runs.run import Run
from tests.helpers.run_folders import collected, event, make_run, make_runs, stage
from tests.helpers.screens import NOW, check_snapshot, dashboard, drive, screen_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    from nsad_cli.dashboard.app import Dashboard


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run of every kind, in ./runs; those that say so are being written to."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "runs"
    make_runs(home)
    with ExitStack() as until_the_end:
        for name in ("training", "quiet"):
            until_the_end.enter_context(Run(home / name).lock())
        yield home


def detail(app: Dashboard) -> str:
    """What a wide screen tells of the run under the cursor, its lines joined."""
    return " ".join(" ".join(line.partition("│")[2] for line in screen_text(app).splitlines()).split())


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (120, 36), (200, 50)])
def test_the_runs_at_every_width(home: Path, size: tuple[int, int]) -> None:
    app = dashboard(home, "training")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "down", "space", "up", "up")
        await pilot.pause()
        check_snapshot(app, f"runs-{size[0]}")

    drive(app, script, size)


def test_the_run_under_the_cursor_is_told_by_its_stages(home: Path) -> None:
    app = dashboard(home)

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "down")
        await pilot.pause()
        text = screen_text(app)
        for part in (
            "960 samples of 240 problems",
            "581 correct, 379 wrong",
            "best at step 20 of 33",
            "next",
            "(chosen)",
        ):
            assert part in text, part
        assert "nce 40.0% greedy, 44.0% sc, 52.0% asc" in text
        assert 'nsad solve "…" --run whole-method-on-smollm2' in text
        assert "runs/whole-method-on-smollm2" in text
        await pilot.press("down")
        await pilot.pause()
        assert "the loss is not finite at step 4" in screen_text(app)
        assert "nsad train-nce --run diverged" in screen_text(app)
        await pilot.press("down", "down")
        await pilot.pause()
        assert "■ stopped" in screen_text(app)
        assert "nsad train-nat --run killed" in screen_text(app)

    drive(app, script, (160, 40))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quiet", "no event for 18 min"),
        ("training", "12 of 33 · 3 min left"),
        ("ctrl-c", "run the same command again to resume"),
        ("new", "nsad run runs/new/recipe.yaml --run new"),
        ("older", "use the version of NSAD that created it"),
    ],
)
def test_what_to_run_next_is_said_for_every_state(home: Path, name: str, said: str) -> None:
    app = dashboard(home)

    async def script(pilot: Pilot[Any]) -> None:
        rows = app.screen.query_one(RowList)
        rows.cursor = ["training", "quiet", "", "", "ctrl-c", "", "new", "older"].index(name)
        await pilot.pause()
        assert said in screen_text(app)

    drive(app, script, (200, 50))


def test_the_cursor_stays_on_its_run_when_the_order_changes(home: Path) -> None:
    app = dashboard(home)

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "down", "down")
        manifest = home / "new" / "manifest.json"
        manifest.write_text(manifest.read_text())  # the newest by far: today's
        app.follow_files()
        await pilot.pause()
        assert screen_text(app).splitlines()[2].split()[0] == "new"
        assert app.screen.query_one(RowList).cursor == 4
        assert "the loss is not finite" in screen_text(app)

    drive(app, script, (120, 36))


def test_typing_filters_and_escape_shows_all(home: Path) -> None:
    app = dashboard(home)

    async def script(pilot: Pilot[Any]) -> None:
        rows = app.screen.query_one(RowList)
        await pilot.press("slash", *"NAT in")
        await pilot.pause()
        assert rows.count == 2, "words of name, state and stage, in any case: training and ctrl-c"
        await pilot.press("enter", "down", "space")
        assert rows.has_focus
        assert app.context.marked == ["ctrl-c"], "keys act on the list again"

    drive(app, script)


def test_letters_are_typed_into_the_filter_not_obeyed(home: Path) -> None:
    app = dashboard(home)

    async def script(pilot: Pilot[Any]) -> None:
        rows = app.screen.query_one(RowList)
        await pilot.press("slash", "q", "5", "e", "question_mark")
        await pilot.pause()
        assert rows.count == 0
        assert "no run matches `q5e?`: Escape shows all" in screen_text(app)
        assert app.screen.query_one(FilterBox).has_focus
        await pilot.press("escape")
        await pilot.pause()
        assert rows.count == 9
        assert rows.has_focus
        await pilot.press("slash", "x", "down")
        await pilot.press("escape")
        await pilot.pause()
        assert rows.count == 9, "Escape in the list shows all too"

    drive(app, script)


def test_enter_looks_at_a_run_and_shows_its_curves(home: Path) -> None:
    app = dashboard(home, "training")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.context.run_name == "quiet"
        assert app.current_mode == "curves"
        await pilot.press("1")
        await pilot.pause()
        await pilot.press("end", "enter")
        await pilot.pause()
        assert app.context.run_name == "quiet"
        assert app.current_mode == "runs", "a damaged run has no curves"

    drive(app, script)


def test_marks_are_set_and_taken_away(home: Path) -> None:
    app = dashboard(home, "training")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "space", "space")
        await pilot.pause()
        assert app.context.marked == ["quiet", "whole-method-on-smollm2"]
        lines = screen_text(app).splitlines()
        assert [line[0] for line in lines[2:5]] == ["●", "▲", "■"], "glyphs in the order in which curves are drawn"
        assert "training +2" in lines[0]
        await pilot.press("up", "space")
        assert app.context.marked == ["quiet"]
        await pilot.press("end", "space")
        assert app.context.marked == ["quiet"], "what cannot be read cannot be marked"

    drive(app, script)


def test_a_click_moves_the_cursor_and_a_second_one_chooses(home: Path) -> None:
    app = dashboard(home, "training")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.click(RowList, offset=(4, 3))
        assert app.screen.query_one(RowList).cursor == 2
        await pilot.click(RowList, offset=(4, 3))
        await pilot.pause()
        assert (app.context.run_name, app.current_mode) == ("whole-method-on-smollm2", "curves")

    drive(app, script)


@pytest.mark.parametrize("size", [(50, 20), (40, 12), (80, 24)])
def test_the_run_under_the_cursor_gets_the_screen_and_gives_it_back(home: Path, size: tuple[int, int]) -> None:
    app = dashboard(home, "quiet")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("end")
        await pilot.pause()
        before = screen_text(app)
        await pilot.press("i")
        await pilot.pause()
        detail = app.screen.query_one("#detail")
        assert detail.display
        assert detail.region.height >= size[1] - 6
        assert "damaged" in "".join(screen_text(app).splitlines()[2:4]), "its row stays in sight"
        await pilot.press("i")
        await pilot.pause()
        assert screen_text(app) == before

    drive(app, script, size)


# --- the difference of two recipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (120, 36), (200, 50)])
def test_the_diff_names_both_sides_and_what_differs(home: Path, size: tuple[int, int]) -> None:
    app = dashboard(home, "quiet")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("space", "down", "d")
        await pilot.pause()
        check_snapshot(app, f"runs-diff-{size[0]}")
        await pilot.press("down")
        await pilot.pause()
        assert "whole-method-on-smollm2: 16" in screen_text(app), "the setting under the cursor, whole"
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.query(RowList).first().id == "runs"

    drive(app, script, size)


def test_the_diff_is_against_the_run_looked_at_where_none_is_marked(home: Path) -> None:
    app = dashboard(home, "training")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("d")
        await pilot.pause()
        assert next(note.message for note in app._notifications).startswith("Mark a run with space")
        await pilot.press("end", "up", "up", "d")
        await pilot.pause()
        assert "training and new differ in 3 settings" in screen_text(app)

    drive(app, script)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nadapter:\n  r: 8\n  targets: all-linear\n", "the recipes of training and quiet are identical"),
        (None, "recipe.yaml cannot be read: No such file"),
        ("a: [", "recipe.yaml cannot be read: it is not YAML"),
        ("- 1", "recipe.yaml cannot be read: it contains no settings"),
    ],
)
def test_the_diff_says_when_nothing_differs_or_cannot_be_read(home: Path, text: str | None, said: str) -> None:
    recipe = home / "quiet" / "recipe.yaml"
    recipe.unlink() if text is None else recipe.write_text(text)
    app = dashboard(home, "training")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "d")
        await pilot.pause()
        assert said in " ".join(screen_text(app).split())

    drive(app, script, (200, 50))


# --- what is amiss ----------------------------------------------------------------------------------------------------


def test_no_runs_say_what_to_run_and_the_first_one_appears(tmp_path: Path) -> None:
    home = tmp_path / "runs"
    app = dashboard(home, exports=tmp_path / "out")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.pause()
        text = screen_text(app)
        assert "no runs in" in text
        assert "nsad demo" in text
        assert "nsad run RECIPE" in text
        await pilot.press("space", "enter", "d", "slash", "x", "escape", "e")
        make_run(home, "first", collected())
        app.follow_files()
        await pilot.pause()
        assert "first" in screen_text(app)
        assert "nsad demo" not in screen_text(app)
        assert app.context.run_name == "first", "who began with none looks at the first"

    drive(app, script, (80, 24))


def test_the_run_looked_at_may_vanish(home: Path) -> None:
    app = dashboard(home, "killed")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "down", "down", "down", "down")
        shutil.rmtree(home / "killed")
        app.follow_files()
        await pilot.pause()
        text = screen_text(app)
        assert "killed was deleted: press Enter to select another run" in text
        assert "its folder was deleted" in text
        await pilot.press("up", "enter", "1")
        await pilot.pause()
        assert app.context.run_name == "ctrl-c"
        assert "press Enter to select another" not in screen_text(app)

    drive(app, script)


def test_a_clock_that_is_a_day_ahead_is_told_and_silence_is_that_seen_from_here(tmp_path: Path) -> None:
    home, day = tmp_path / "runs", 86_400.0
    folder = make_run(home, "a", {"nat": stage("running", 60 - day, 0)}, [event(-day, "nat", 5, 33, loss=0.1)])
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "created": NOW + day - 600}))
    app = dashboard(home, "a")

    async def script(pilot: Pilot[Any]) -> None:
        view = app.screen
        assert isinstance(view, RunsView)
        text = detail(app)
        assert "▶ running" in text
        assert "no event for" not in text
        assert "! its latest event is 24 h 00 ahead of this machine's clock: one of the clocks is wrong" in text
        assert "created 23 h 50 ahead of this machine's clock" in text
        view._runs.monotonic_clock = lambda: time.monotonic() + 2000.0
        app.follow_files()
        await pilot.pause()
        text = detail(app)
        assert "! stalled" in text
        assert "no event seen for 33 min" in text

    with Run(folder).lock():
        drive(app, script, (200, 50))
    app = dashboard(home, "a")

    async def stopped(_: Pilot[Any]) -> None:
        text = detail(app)
        assert "■ stopped" in text
        assert "one of the clocks is wrong" in text
        assert "are seen here" not in text

    drive(app, stopped, (200, 50))


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    app = dashboard(tmp_path / "runs")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.pause()
        assert "cannot read: " in screen_text(app)

    drive(app, script)


def test_names_and_errors_are_no_markup(tmp_path: Path) -> None:
    home = tmp_path / "runs"
    make_run(home, "[red]a", {"nat": stage("failed", 9, 1, error="[bold]x[/] [link=y]z")}, [event(1, "[b]nat", 1, 2)])
    app = dashboard(home)

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.pause()
        assert "[red]a" in screen_text(app)
        assert "[bold]x[/] [link=y]z" in screen_text(app)

    drive(app, script)


def test_the_list_is_exported_as_it_is_filtered(home: Path, tmp_path: Path) -> None:
    app = dashboard(home, exports=tmp_path / "out")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", *"nat", "enter", "e")
        await pilot.pause()

    drive(app, script)
    (path,) = (tmp_path / "out").glob("nsad-runs-*.csv")
    rows = {row["run"]: row for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())}
    assert list(rows) == ["training", "quiet", "ctrl-c", "killed"]
    training = rows["training"]
    assert (training["state"], training["stage"], training["step"], training["total"]) == ("running", "nat", "12", "33")
    assert training["figure"] == "held-out loss nat"
    assert float(training["value"]) == 0.31
    assert float(training["seconds_left"]) == pytest.approx(21 * 111 / 11 - 3, abs=0.1)
    assert training["path"] == str(home / "training")

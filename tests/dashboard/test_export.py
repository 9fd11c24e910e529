"""A view is written whole or not at all, as it was when the key was pressed, while the screen goes on."""

from __future__ import annotations

import csv
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.dashboard import app as app_module
from nsad_cli.dashboard.export import ROWS_PER_CHECK, ExportCancelledError, ExportTable, export, unused_name
from nsad_cli.dashboard.live.growable_array import GrowableArray
from nsad_cli.dashboard.live.series import Series
from nsad_cli.dashboard.screens.curves_selection import Source, table
from nsad_cli.dashboard.screens.runs import RunsView
from nsad_cli.errors import NsadError
from tests.helpers.run_folders import collected, make_run
from tests.helpers.screens import NOW, dashboard, drive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    from nsad_cli.dashboard.app import Dashboard


def test_a_table_is_written_in_parts_and_reads_back(tmp_path: Path) -> None:
    rows = [(i, i / 3, 'a "quoted", text\n') for i in range(ROWS_PER_CHECK + 5)]
    svg, table_path = export(tmp_path, "view", "<svg/>", ExportTable(("n", "x", "text"), iter(rows)))
    assert svg.read_text() == "<svg/>"
    with table_path.open(newline="") as file:
        assert [tuple(row) for row in csv.reader(file)] == [
            ("n", "x", "text"), *((str(i), str(x), text) for i, x, text in rows)
        ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["view.csv", "view.svg"]


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    first = unused_name(tmp_path, "view", NOW)
    (tmp_path / f"{first}.csv").write_text("")
    assert unused_name(tmp_path, "view", NOW) == f"{first}-2"


def test_what_is_not_wanted_any_more_leaves_nothing(tmp_path: Path) -> None:
    taken: list[int] = []

    def rows() -> Iterator[tuple[int]]:
        for i in range(10 * ROWS_PER_CHECK):
            taken.append(i)
            yield (i,)

    with pytest.raises(ExportCancelledError):
        export(tmp_path, "view", "<svg/>", ExportTable(("n",), rows()), lambda: len(taken) > 3 * ROWS_PER_CHECK)
    assert len(taken) <= 4 * ROWS_PER_CHECK + 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("taken", ["view.csv", "view.svg"])
def test_nothing_is_written_over(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(NsadError, match="already exists"):
        export(tmp_path, "view", "<svg/>", ExportTable(("n",), [(1,)]))
    assert (tmp_path / taken).read_text() == "mine"


def test_points_are_those_of_the_key_press() -> None:
    steps, values = GrowableArray(), GrowableArray()
    for i in range(100):
        steps.append(i)
        values.append(i / 4)
    source = Source("loss", "run", "nat", "loss", Series(steps.array(), values.array(), steps.array()))
    data = table([source], 10, 20)
    for column in (steps, values):  # the stage is resumed: the same memory holds other numbers now
        column.truncate(5)
        for _ in range(95):
            column.append(-1.0)
        column.array()
    assert data is not None
    assert data.detach() is data
    assert list(data.rows) == [("run", "nat", "loss", i, float(i), i / 4) for i in range(10, 21)]


class Held:
    """Rows of a table that come one by one, and wait in the middle."""

    def __init__(self) -> None:
        self.reached, self.go_on, self.closed = Event(), Event(), False

    def data(self) -> ExportTable:
        return ExportTable(("n",), self._rows(), detached=True)

    def _rows(self) -> Iterator[tuple[int]]:
        for i in range(3 * ROWS_PER_CHECK):
            if i == ROWS_PER_CHECK // 2:
                self.reached.set()
                assert self.go_on.wait(20)
            yield (i,)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Dashboard, Held]:
    make_run(tmp_path / "runs", "a", collected())
    rows = Held()
    monkeypatch.setattr(RunsView, "data", lambda _: rows.data())
    monkeypatch.setattr(app_module, "SLOW_EXPORT_SECONDS", 0.001)
    return dashboard(tmp_path / "runs", "a", exports=tmp_path / "out"), rows


def told(app: Dashboard) -> list[str]:
    return [f"{note.title} {note.message}".strip() for note in app._notifications]


async def pressed(pilot: Pilot[Any], held: Held) -> None:
    await pilot.press("e")
    while not held.reached.is_set():
        await pilot.pause(0.01)


def test_the_screen_goes_on_while_a_long_table_is_written(held: tuple[Dashboard, Held]) -> None:
    app, rows = held

    async def script(pilot: Pilot[Any]) -> None:
        await pressed(pilot, rows)
        await pilot.press("2", "e", "3")  # other screens open meanwhile; what is being written is not disturbed
        while not told(app):
            await pilot.pause(0.01)
        assert app.current_mode == "machine"
        assert not list(app.exports.glob("nsad-*"))
        assert any("writing nsad-runs-" in text and "still" not in text for text in told(app))
        assert sum("still writing nsad-runs-" in text for text in told(app)) == 1
        rows.go_on.set()
        await app.workers.wait_for_complete()
        assert sum("Written" in text for text in told(app)) == 1
        rows.reached.clear()
        await pilot.press("1", "e")
        await app.workers.wait_for_complete()

    drive(app, script)
    written = sorted(path.name for path in app.exports.iterdir())
    assert len(written) == 4
    assert all(name.startswith("nsad-runs-") for name in written)
    assert len((app.exports / written[0]).read_text().splitlines()) == 3 * ROWS_PER_CHECK + 1


def test_leaving_during_an_export_leaves_no_file(held: tuple[Dashboard, Held]) -> None:
    app, rows = held

    async def script(pilot: Pilot[Any]) -> None:
        await pressed(pilot, rows)
        assert len(list(app.exports.iterdir())) == 1  # the temporary one
        await pilot.press("q")
        await pilot.pause()
        rows.go_on.set()

    drive(app, script)
    assert not list(app.exports.iterdir())
    assert app.failure is None


def test_an_error_of_the_thread_is_told(held: tuple[Dashboard, Held]) -> None:
    app, rows = held

    async def script(pilot: Pilot[Any]) -> None:
        await pressed(pilot, rows)
        (temporary,) = app.exports.iterdir()
        temporary.unlink()
        rows.go_on.set()
        await app.workers.wait_for_complete()
        assert any("cannot write" in text for text in told(app))
        assert not any("Written" in text for text in told(app))
        assert not list(app.exports.iterdir())
        assert not app._export_name

    drive(app, script)

"""The curves screen: what is chosen is drawn, live, side by side, and whatever becomes of the log."""

from __future__ import annotations

import csv
import json
import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nsad_cli.dashboard.app import Dashboard
from nsad_cli.dashboard.live.event_log import MAX_NUMBER, MAX_STEP, EventLogReader
from nsad_cli.dashboard.live.metrics import charts, layer_of
from nsad_cli.dashboard.live.series import Series
from nsad_cli.dashboard.live.smoothing import WEIGHTS, MovingAverage
from nsad_cli.dashboard.screens.curves import CurvesView
from nsad_cli.dashboard.screens.curves_selection import ALL, stages_with_metrics
from nsad_cli.dashboard.widgets.heat_map import HeatMap, Layer
from nsad_cli.dashboard.widgets.legend import chart_legend, excluded_values, heat_legend
from nsad_cli.dashboard.widgets.line_chart import Curve, LineChart
from nsad_cli.dashboard.widgets.row_list import RowList
from nsad_cli.runs.manifest import FORMAT
from nsad_cli.runs.run import Run
from tests.helpers.screens import NOW, check_snapshot, dashboard, drive, screen_text

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

STEPS = 40
SIZES = (50, 20), (80, 24), (120, 36), (200, 50)


def line(stage: str, step: int, total: int = STEPS, /, **metrics: Any) -> str:
    event = {"time": NOW - 4000 + step, "stage": stage, "step": step, "total": total, "metrics": metrics}
    return json.dumps(event) + "\n"


def stage_lines(stage: str, start: float, **more: Any) -> list[str]:
    """A stage whose loss falls, with a spike, a value that is not finite, and two held-out losses."""
    lines = []
    for step in range(1, STEPS + 1):
        loss: float | None = round(start * math.exp(-step / 12) + 0.1 * math.cos(step), 4)
        loss = None if step == 20 else loss + 1 if loss is not None and step == 30 else loss
        shared = {"learning_rate": 1e-3 * (1 - step / STEPS), "grad_norm": 0.5, "tokens_per_second": 200.0 + step}
        given = {name: value(step) for name, value in more.items()}
        lines.append(line(stage, step, STEPS, loss=loss, **shared, **given, cpu_percent=50.0))
        if step % 20 == 0:
            lines.append(line(stage, step, held_out_loss=round(start * math.exp(-step / 12) + 0.2, 4)))
    return lines


def alpha(step: int) -> dict[str, float]:
    return {
        f"model.layers.{layer}.self_attn.{kind}": round((layer - 2) * sign * step / 400, 5)
        for layer in range(6)
        for kind, sign in (("q_proj", 1), ("v_proj", -0.5))
    }


def beta(step: int) -> dict[str, float]:
    return {f"q{q:02}": round(q / 100 * (0.5 + 0.3 * math.sin(step / 5)), 4) for q in (5, 25, 50, 75, 95)}


def make_run(home: Path, name: str, lines: list[str]) -> Path:
    folder = home / name
    folder.mkdir(parents=True)
    manifest = {"format": FORMAT, "name": name, "created": NOW - 5000, "versions": {}, "store": None, "stages": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    log = folder / "events.jsonl"
    log.write_text("".join(lines))
    return log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A run that has trained three stages."""
    stages = [line("collect", 9, 9), *stage_lines("negative", 2.0), *stage_lines("nat", 1.5, alpha=alpha)]
    return make_run(tmp_path / "runs", "first", stages + stage_lines("nce", 1.0, beta=beta))


def curves(log: Path, **options: Any) -> Dashboard:
    return dashboard(log.parent.parent, log.parent.name, "curves", **options)


def view(pilot: Pilot[Any]) -> CurvesView:
    assert isinstance(pilot.app.screen, CurvesView)
    return pilot.app.screen


def told(pilot: Pilot[Any]) -> str:
    """The legend, on one line."""
    return " ".join(str(view(pilot).query_one("#legend").render()).replace("\u00a0", " ").split())


def shown(pilot: Pilot[Any]) -> str:
    """The whole screen."""
    assert isinstance(pilot.app, Dashboard)
    return screen_text(pilot.app)


def titles(pilot: Pilot[Any]) -> list[str]:
    return [chart.title for chart in view(pilot).selection.charts]


async def settle(pilot: Pilot[Any]) -> None:
    view(pilot).tick()
    await pilot.pause()


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_snapshots(log: Path, size: tuple[int, int]) -> None:
    app = curves(log)

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        check_snapshot(app, f"curves-{size[0]}")
        await pilot.press("left", "down", "comma", "comma")
        await pilot.pause()
        check_snapshot(app, f"curves-alpha-{size[0]}")

    drive(app, script, size)


def test_the_newest_stage_with_a_loss_comes_first(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        assert stages_with_metrics(list(view(pilot).reading.logs)) == [ALL, "negative", "nat", "nce"]
        assert view(pilot).selection.stage == "nce"
        assert titles(pilot) == ["loss", "β quantiles", "learning rate", "gradient norm", "tokens/s", "CPU %"]
        assert told(pilot) == "● loss -0.031 ▲ held-out loss 0.2357 × 1 value not finite"

    drive(curves(log), script)


def test_stages_and_charts_are_chosen_by_keys(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("left")
        assert titles(pilot)[:3] == ["loss", "α q_proj", "α v_proj"]
        await pilot.press("down", "down")
        await pilot.pause()
        heat = view(pilot).query_one(HeatMap)
        assert heat.display
        assert not view(pilot).query_one(LineChart).display
        assert [layer.number for layer in heat.layer_curves] == list(range(6))
        assert heat.layer_curves[5].series.values[-1] == -0.15
        assert told(pilot) == "strongest: layer 5 −0.15, layer 4 −0.1, layer 0 +0.1"
        await pilot.press("left", "left", "left", "left")
        await pilot.pause()
        assert [curve.name for curve in view(pilot).query_one(LineChart).curves] == ["negative", "nat", "nce"]
        assert len({(curve.glyph, curve.colour) for curve in view(pilot).query_one(LineChart).curves}) == 3
        await pilot.press("right")
        await settle(pilot)
        assert view(pilot).selection.stage == "negative"
        await pilot.press("f")
        assert view(pilot).selection.stage == "nce"

    drive(curves(log), script)


def test_beta_is_shown_by_quantiles(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("down")
        await pilot.pause()
        assert [c.name for c in view(pilot).query_one(LineChart).curves] == [
            "β q05",
            "β q25",
            "β q50",
            "β q75",
            "β q95",
        ]
        assert "◆ β q75 0.5976" in told(pilot)

    drive(curves(log), script)


def test_runs_are_laid_over_each_other(log: Path) -> None:
    make_run(log.parent.parent, "second", stage_lines("nce", 3.0, beta=beta))
    app = curves(log)
    app.context.marked = ["second", "first", "gone"]

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        assert titles(pilot)[:4] == ["loss", "held-out loss", "β q05", "β q25"]
        shown = view(pilot).query_one(LineChart).curves
        assert [curve.name for curve in shown] == ["first", "second"]
        assert shown[1].series.values[0] > 2 > shown[0].series.values[0]
        await pilot.press("left", "down", "down")
        await pilot.pause()
        assert "first only" in told(pilot)  # the heat map is of the run looked at
        app.context.marked = []
        await settle(pilot)
        assert titles(pilot)[0] == "loss"
        assert len(view(pilot).picture.sources) == 6

    drive(app, script)


# --- live -------------------------------------------------------------------------------------------------------------


def test_new_events_appear_and_the_newest_stage_is_followed(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        with log.open("a") as file:
            file.write(line("ranker", 1, 9, loss=0.7, pair_accuracy=0.5) + line("ranker", 2, 9, loss=0.6)[:30])
        await settle(pilot)
        assert view(pilot).selection.stage == "ranker"
        assert told(pilot) == "● loss 0.7"
        assert titles(pilot) == ["loss", "pair accuracy"]
        with log.open("a") as file:
            file.write(line("ranker", 2, 9, loss=0.6)[30:])
        await settle(pilot)
        assert told(pilot) == "● loss 0.6"
        await pilot.press("left")
        with log.open("a") as file:
            file.write(line("ranker", 3, 9, loss=0.5))
        await settle(pilot)
        assert view(pilot).selection.stage == "nce"  # chosen: it stays

    drive(curves(log), script)


def test_the_stage_that_a_process_works_on_is_marked(log: Path) -> None:
    run = Run(log.parent)

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        assert "▸" not in shown(pilot)
        with run.lock():
            run.events.emit("ranker", 1, 9, loss=0.5)
            await settle(pilot)
        assert "▸ranker" in shown(pilot)

    drive(curves(log), script)


def test_a_part_in_sight_follows_the_newest_step(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        viewport = view(pilot).picture.viewport
        await pilot.press("plus", "plus")
        first, last = viewport.bounds
        assert last == STEPS
        assert first == pytest.approx(STEPS - 39 / 4)
        with log.open("a") as file:
            file.write("".join(line("nce", step, loss=0.5) for step in range(STEPS + 1, STEPS + 11)))
        await settle(pilot)
        assert viewport.bounds == pytest.approx((first + 10, last + 10))
        assert "steps 40 to 50" in told(pilot)
        await pilot.press("less_than_sign")
        assert not viewport.shows_all
        assert not viewport.shows_latest
        await pilot.press("minus")
        assert not viewport.shows_all
        await pilot.press("0")
        assert viewport.bounds == (1, STEPS + 10)

    drive(curves(log), script)


@pytest.mark.parametrize("what", ["gone", "cut", "unreadable", "nonsense", "run gone"])
def test_what_becomes_of_the_log_is_told(log: Path, what: str) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        if what == "gone":
            log.unlink()
            expected = "events.jsonl was deleted; the data read before is shown"
        elif what == "cut":
            log.write_text(line("nat", 1, loss=7.0))
            expected = "events.jsonl was truncated or replaced, and read again"
        elif what == "unreadable":
            log.unlink()
            log.mkdir()
            expected = "events.jsonl cannot be read: Is a directory"
        elif what == "nonsense":
            with log.open("ab") as file:
                file.write(b"\xff\x00 nonsense\n\n[]\n")
            expected = "2 lines of events.jsonl cannot be read"
        else:
            log.unlink()
            (log.parent / "manifest.json").unlink()
            log.parent.rmdir()
            expected = "The run first no longer exists"
        await settle(pilot)
        assert expected in shown(pilot)
        if what == "cut":
            assert stages_with_metrics(list(view(pilot).reading.logs)) == ["nat"]
            assert told(pilot) == "● loss 7"
        elif what == "run gone":
            assert view(pilot).data() is None
        else:
            assert told(pilot).startswith("● loss -0.031")
        await pilot.press("left", "down", "comma", "s", "l", "plus", "f", "escape")  # nothing falls over
        await settle(pilot)

    drive(curves(log), script)


def test_empty_states_say_what_to_run(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    app = dashboard(runs, None, "curves")

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        assert "nsad demo" in screen_text(app)
        await pilot.press("left", "down", "comma", "s", "l", "plus", "minus", "less_than_sign", "0", "f", "escape")
        assert view(pilot).data() is None
        log = make_run(runs, "new", [line("collect", 1, 2)])
        app.context.run_name = "new"
        await settle(pilot)
        assert "new has not logged any metrics yet" in screen_text(app)
        assert "--run new" in screen_text(app)
        with log.open("a") as file:
            file.write(line("nat", 1, loss=2.5))
        await settle(pilot)
        assert told(pilot) == "● loss 2.5 smoothed 0.6 · log axis"  # the keys held all the same

    drive(app, script)


def test_a_long_log_is_read_in_parts_and_shown_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.dashboard.screens.curves_reading.POLL_SECONDS", 0.0)
    monkeypatch.setattr("nsad_cli.dashboard.screens.curves_reading.PAUSE_SECONDS", 60.0)  # the test itself reads on
    log = make_run(tmp_path / "runs", "long", [line("nat", i, 9000, loss=1.0) for i in range(1, 9001)])

    async def script(pilot: Pilot[Any]) -> None:
        first = view(pilot).picture.sources[0].series
        assert 0 < len(first) < 9000
        assert "reading the log" in shown(pilot)
        while view(pilot).reading.logs.pending:
            view(pilot).reading.read_part()
        await settle(pilot)
        assert len(view(pilot).picture.sources[0].series) == 9000
        assert "reading" not in shown(pilot)

    drive(curves(log), script)


# --- cursor, smoothing, axis, mouse -----------------------------------------------------------------------------------


def test_the_cursor_tells_each_curves_value(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("comma")
        assert told(pilot).startswith("step 40 ● loss -0.031 ▲ held-out loss 0.2357")
        await pilot.press("comma", "comma")
        assert told(pilot).startswith("step 38 ● loss 0.1377 ▲ held-out loss 0.2357 (step 40)")
        await pilot.press("full_stop")
        assert told(pilot).startswith("step 39")
        for _ in range(19):
            view(pilot).action_cursor(-1)
        assert told(pilot).startswith("step 20 ● loss not finite ▲ held-out loss 0.3889")
        for _ in range(30):
            view(pilot).action_cursor(-1)
        assert told(pilot).startswith("step 1 ")
        await pilot.press("escape")
        assert told(pilot).startswith("● loss")

    drive(curves(log), script)


def test_a_cursor_over_many_points_tells_their_range(tmp_path: Path) -> None:
    log = make_run(tmp_path / "runs", "many", [line("nat", i, 2000, loss=float(i % 7)) for i in range(1, 2001)])

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("comma", "comma")
        assert "(0 … 6)" in told(pilot)
        assert told(pilot).startswith("step 1,9")

    drive(curves(log), script)


def test_smoothing_keeps_the_curve_behind(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("s", "s")
        loss, held_out = view(pilot).query_one(LineChart).curves
        assert loss.background is not None
        assert loss.background.values[0] == view(pilot).picture.sources[0].series.values[0]
        assert loss.series.values[-1] != loss.background.values[-1]
        assert "smoothed 0.9" in told(pilot)
        assert held_out.background is None
        assert held_out.marked
        await pilot.press("s", "s", "s")
        assert view(pilot).query_one(LineChart).curves[0].background is None
        assert "smoothed" not in told(pilot)

    drive(curves(log), script)


def test_a_logarithmic_axis_leaves_out_what_is_not_above_zero_and_says_so(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("l")
        await pilot.pause()
        assert "log axis · × 4 values not above 0" in told(pilot)
        assert "0.1 ┈" in shown(pilot)
        assert "0 ┈" not in shown(pilot)
        await pilot.press("l")
        assert "log axis" not in told(pilot)

    drive(curves(log), script)


def test_the_mouse_points_zooms_and_pans(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        chart, viewport = view(pilot).query_one(LineChart), view(pilot).picture.viewport
        await pilot.click(chart, offset=(chart.label_width + chart.columns // 2, 4))
        await pilot.pause()
        assert chart.cursor in (20, 21)
        assert told(pilot).startswith("step 2")
        chart.post_message(LineChart.Zoomed(0.5, 20.5))
        await pilot.pause()
        assert viewport.bounds == pytest.approx((10.75, 30.25))
        await pilot.mouse_down(chart, offset=(40, 4))
        await pilot.hover(chart, offset=(40 - chart.columns // 4, 4))
        await pilot.mouse_up(chart, offset=(40 - chart.columns // 4, 4))
        await pilot.pause()
        assert viewport.bounds[0] > 14
        assert chart.cursor in (20, 21)
        await pilot.click("#stages", offset=(4, 0))
        await pilot.pause()
        assert view(pilot).selection.stage == ALL

    drive(curves(log), script)


def test_another_theme_and_size_are_painted(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("comma", "s")
        for theme in ("textual-light", "colour-blind", "nord", "ansi-dark", "ansi-light"):
            pilot.app.theme = theme
            await pilot.pause()
            assert "⣀" in shown(pilot)
            assert "held-out" in shown(pilot)
        await pilot.press("left", "down")
        for theme in ("ansi-dark", "ansi-light", "textual-light"):
            pilot.app.theme = theme
            await pilot.pause()
            assert "strongest" in shown(pilot)
            assert "+" in shown(pilot)
        await pilot.press("right")
        for size in ((30, 10), (14, 6), (250, 70), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
        assert "● loss" in told(pilot)

    drive(curves(log), script)


# --- what is exported and named ---------------------------------------------------------------------------------------


def test_the_points_in_sight_are_exported_undecimated(log: Path, tmp_path: Path) -> None:
    app = curves(log, exports=tmp_path)

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("plus", "e")
        await pilot.pause()

    drive(app, script)
    (path,) = tmp_path.glob("nsad-curves-*.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    loss = [row for row in rows if row["metric"] == "loss"]
    assert [int(row["step"]) for row in loss] == list(range(21, 41))
    assert loss[-1] == {
        "run": "first", "stage": "nce", "metric": "loss", "step": "40", "time": str(NOW - 3960), "value": "-0.031"
    }  # fmt: skip
    assert [row["value"] for row in rows if row["metric"] == "held_out_loss"] == ["0.2357"]


def test_what_is_not_finite_is_an_empty_cell(log: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        data = view(pilot).data()
        assert data is not None
        assert [row[5] for row in data.rows if row[2] == "loss" and row[3] == 20] == [""]

    drive(curves(log), script)


def test_names_from_a_log_steer_no_terminal(tmp_path: Path) -> None:
    lines = [line("n\x1b[31mat", step, 3, **{"a\x1b]0;x\x07b": 1.0, "[bold]loss": 2.0}) for step in (1, 2, 3)]
    app = curves(make_run(tmp_path / "runs", "odd", lines))

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        text = screen_text(app)
        assert "\x1b" not in text
        assert r"n\x1b[31mat" in text
        assert r"a\x1b]0;x\x07b" in text
        assert "[bold]loss" in text

    drive(app, script)


def test_results_told_once_are_no_curves(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for step in (1, 2, 3):
        run.events.emit("ranker", step, 3, loss=0.5, pair_accuracy=0.5, gpus=[{"percent": 3}])
    run.events.emit("ranker", 3, 3, ece_before=0.2, chains=104)
    log = EventLogReader(tmp_path / "events.jsonl")
    log.poll()
    assert [chart.title for chart in charts(log, "ranker")] == ["loss", "pair accuracy", "gpus.0.percent"]


def test_layers_of_every_architecture_are_told_apart() -> None:
    assert layer_of("alpha.model.layers.12.self_attn.q_proj") == (12, "q_proj")
    assert layer_of("alpha.gpt_neox.layers.3.attention.query_key_value") == (3, "query_key_value")
    assert layer_of("alpha.transformer.h.0.attn.c_attn") == (0, "c_attn")
    assert layer_of("alpha.lm_head") == (0, "lm_head")


def test_many_layers_share_rows_and_the_strongest_shows(tmp_path: Path) -> None:
    layers = {f"model.layers.{i}.q_proj": 0.4 if i == 50 else 0.001 for i in range(80)}
    lines = [line("nat", step, loss=1.0, alpha=layers) for step in (1, 2, 3)]
    app = curves(make_run(tmp_path / "runs", "deep", lines))

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("down")
        await pilot.pause()
        heat = view(pilot).query_one(HeatMap)
        row = next(i for i in range(heat.rows) if 50 in [layer.number for layer in heat.row_layers(i)])
        assert len(heat.row_layers(row)) > 1
        assert "+" in screen_text(app).split("\n")[2 + row]
        assert view(pilot).query_one(RowList).count == 2
        await pilot.click(heat, offset=(30, row))
        await pilot.pause()
        assert told(pilot).startswith("step ")
        assert "layer 50 +0.4, layer" in told(pilot)
        assert "strongest" not in told(pilot)
        await pilot.press("escape")
        assert told(pilot).startswith("strongest: layer 50 +0.4")

    drive(app, script, (80, 24))


NASTY = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-320,
    1e-300,
    -1e-300,
    3.4e38,
    MAX_NUMBER,
    -MAX_NUMBER,
    1.0 + 1e-15,
    math.nan,
    7e5,
    1e-5,
)


@pytest.mark.parametrize("seed", [*range(5), 100])
def test_any_numbers_can_be_painted(log: Path, seed: int) -> None:
    chance = random.Random(seed)

    def series() -> Series:
        steps = sorted(chance.choice((chance.randint(0, 50), MAX_STEP, -3.5)) for _ in range(chance.randint(1, 40)))
        pool = chance.sample(NASTY, chance.randint(1, 4))
        numbers = [chance.choice(pool) for _ in steps]
        return Series(np.array(steps, float), np.array(numbers), np.array(steps, float))

    async def script(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        screen = view(pilot)
        for _ in range(40):
            found = [series() for _ in range(chance.randint(1, 3))]
            first, last = min(s.steps[0] for s in found), max(s.steps[-1] for s in found)
            screen.picture.viewport.set_extent(float(first), float(last))
            for _ in range(chance.randint(0, 3)):
                screen.picture.viewport.zoom(chance.choice((0.1, 0.5, 2)), chance.choice((None, 10.0)))
            screen.picture.chart.logarithmic = chance.random() < 0.5
            screen.picture.chart.cursor = screen.picture.heat_map.cursor = chance.choice((None, 5.0))
            weight = chance.choice(WEIGHTS[1:])
            screen.picture.chart.show(
                [Curve("c", MovingAverage(weight).average(s), "●", "#56B4E9", background=s) for s in found]
            )
            screen.picture.heat_map.show([Layer(i, s) for i, s in enumerate(found)])
            for plane in (screen.picture.chart, screen.picture.heat_map):
                picture = plane.paint()
                assert {strip.cell_length for strip in picture} == {plane.size.width}
            assert len(screen.picture.chart.paint()) == screen.picture.chart.size.height
            (
                chart_legend(screen.picture.chart),
                heat_legend(screen.picture.heat_map),
                excluded_values(screen.picture.chart),
            )

    drive(curves(log), script, chance.choice(SIZES))

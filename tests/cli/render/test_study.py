"""The tables of `nsad study`: what they show at 80 columns, live and at the end."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nsad_cli.cli.render.study import StudyDisplay, results_table, summary
from nsad_cli.runs.run import Run
from nsad_cli.study.cells import make_cells
from nsad_cli.study.definition import load_study

if TYPE_CHECKING:
    from rich.console import RenderableType


def shown(what: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def arm(name: str, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("difference", "ci95", "p", "p_holm", "minimal_difference"))
    return {"arm": name, "n": 200, "accuracy": 0.36, "tokens": 1.25e6, "parameters": 460_800, **empty, **more}


RESULT: dict[str, Any] = {
    "study": "kd",
    "control": "cot-kd",
    "seeds": [0, 1, 2],
    "n": 200,
    "arms": [
        arm(
            "nat", accuracy=0.44, difference=0.08, ci95=[0.015, 0.145], p=0.0261, p_holm=0.0522, minimal_difference=0.1
        ),
        arm("cot-kd"),
        arm("ft", accuracy=None, n=0, tokens=None),
    ],
    "minimal_difference": {"difference": 0.1, "alpha": 0.025, "power": 0.8},
}


def test_the_final_table_has_the_control_first_and_fits_80_columns() -> None:
    text = shown(results_table(RESULT))
    lines = [line.split() for line in text.splitlines()]
    assert max(map(len, text.splitlines())) <= 80
    assert [line[0] for line in lines if line and line[0] in ("nat", "cot-kd", "ft")] == ["cot-kd", "nat", "ft"]
    assert ["nat", "200", "44.0%", "+8.0", "+1.5", "…", "+14.5", "0.026", "0.052", "1.25M", "461k"] in lines
    assert ["cot-kd", "200", "36.0%", "control", "1.25M", "461k"] in lines
    assert "200 problems × 3 seeds" in text


def test_the_summary_says_what_could_have_been_seen() -> None:
    assert "a true difference of 10.0 points or more would have been seen with 80% probability" in summary(RESULT)
    nothing = {**RESULT, "minimal_difference": {"difference": None, "alpha": 0.05, "power": 0.8}}
    assert summary(nothing) == "No arm could be compared with the control."
    assert "one arm" in summary({**nothing, "arms": RESULT["arms"][:1]})


def test_the_live_table_shows_each_cells_state() -> None:
    cells = make_cells(load_study("demo", arms=["base", "nat"], seeds=2, name="s"))
    display = StudyDisplay(cells)
    run = Run.create(cells[1].name, cells[1].recipe)
    with run.stage("nat", "key"):
        run.events.emit("nat", 12, 40)
        display.watch(cells[1].name, "running")
        display.watch(cells[2].name, "failed")
        done = Run.create(cells[0].name, cells[0].recipe)
        with done.stage("eval", "key") as result:
            result["results"] = [{"rule": None, "n": 8, "accuracy": 0.375}, {"rule": "sc", "n": 8, "accuracy": 1.0}]
        display.watch(cells[0].name, "finished")
        lines = [line.split() for line in shown(display.table()).splitlines()]
    assert ["base", "37.5%", "failed"] in lines
    assert ["nat", "nat", "12/40", "waiting"] in lines

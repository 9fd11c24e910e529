"""The output of `nsad study`: the live table of cells, the table of arms, and the plan."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import StderrHandler
from nsad_cli.cli.render.plan import duration, short
from nsad_cli.cli.render.tables import Fitted, new_table, percent
from nsad_cli.study.progress import accuracy, progress
from nsad_cli.utils.logs import note, shows_notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from rich.table import Table

    from nsad_cli.study.cells import Cell
    from nsad_cli.study.plan import StudyPlan

STATES = {"waiting": "dim", "collecting": "cyan", "running": "cyan", "finished": "green", "failed": "red"}
"""The states of a cell and their styles."""


class StudyDisplay:
    """A context that shows the state of each cell: a live table in a terminal, a line per change otherwise."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells
        self._states = {cell.name: "waiting" for cell in cells}
        self._lock = threading.Lock()  # the table is drawn by a thread
        self._live: Any = None
        if sys.stderr.isatty() and shows_notes():
            from rich.live import Live

            from nsad_cli.cli.safe_console import SafeConsole

            console = SafeConsole(stderr=True, highlight=False)
            self._live = Live(console=console, get_renderable=self.table, refresh_per_second=1, transient=True)

    def __enter__(self) -> StudyDisplay:
        if self._live is not None:
            StderrHandler.bars = self._live.console
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            StderrHandler.bars = None
            self._live.stop()

    def watch(self, name: str, state: str) -> None:
        """Show a cell's new state."""
        with self._lock:
            self._states[name] = state
            done = sum(state in ("finished", "failed") for state in self._states.values())
        if self._live is None and state != "collecting":
            note(f"study: {name} {state} ({done} of {len(self._cells)} cells done)")

    def table(self) -> Table:
        """Build the table of cells: a row per arm, a column per seed."""
        seeds = list(dict.fromkeys(cell.seed for cell in self._cells))
        with self._lock:
            states = dict(self._states)
        table = new_table("Cells", "arm", *(f"seed {seed}" for seed in seeds), left=1 + len(seeds))
        for arm in dict.fromkeys(cell.arm.name for cell in self._cells):
            row = [cell for cell in self._cells if cell.arm.name == arm]
            table.add_row(arm, *(_state(cell, states[cell.name]) for cell in row))
        return table


def _state(cell: Cell, state: str) -> str:
    text = (progress(cell.run) or state) if state in ("running", "collecting") else state
    if state == "finished" and (right := accuracy(cell.run)) is not None:
        text = percent(right)
    return f"[{STATES[state]}]{text}"


def results_table(result: Mapping[str, Any]) -> Fitted:
    """Build the table of a study's arms; the control is the first row."""
    seeds = len(result["seeds"])
    title = f"Study {result['study']}: {result['n']} problems × {seeds} {'seed' if seeds == 1 else 'seeds'}"
    heads = ("arm", "n", "right", "difference", "95 % interval", "p", "Holm p", "tokens", "param.")
    table = new_table(title, *heads)
    for column in table.columns:
        column.no_wrap = True
    for row in sorted(result["arms"], key=lambda row: row["arm"] != result["control"]):
        control = row["arm"] == result["control"]
        numbers = ["control" if control else "–", "", "", ""] if row["p"] is None else _comparison(row)
        own = row.get("control") not in (None, result["control"])
        right = "–" if row["accuracy"] is None else percent(row["accuracy"])
        sizes = ("–" if not row[key] else short(row[key]) for key in ("tokens", "parameters"))
        table.add_row(f"{row['arm']} − {row['control']}" if own else row["arm"], str(row["n"]), right, *numbers, *sizes)
    table.caption = (
        "difference to the control (A − B: to B), in points; interval: bootstrap by problem;\n"
        "p: exact sign-flip test by problem; tokens: trained on in all stages of a run"
    )
    return Fitted(table)


def _comparison(row: Mapping[str, Any]) -> list[str]:
    low, high = row["ci95"]
    points = f"{100 * row['difference']:+.1f}"
    return [points, f"{100 * low:+.1f} … {100 * high:+.1f}", *(_p(row[key]) for key in ("p", "p_holm"))]


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def summary(result: Mapping[str, Any]) -> str:
    """Say in one sentence which difference the study could have seen."""
    least = result["minimal_difference"]
    if least["difference"] is None:
        return "No arm could be compared with the control."
    return (
        f"With these problems and seeds, a true difference of {100 * least['difference']:.1f} points or more would "
        f"have been seen with {least['power']:.0%} probability (two-sided level {least['alpha']:.3g})."
    )


def plan_table(plan: StudyPlan) -> Table:
    """Build the table of a study's plan."""
    table = new_table(
        f"Plan of study {plan.study}: {plan.cells} cells", "arm", "stages", "tokens", "param.", "a seed", left=2
    )
    for arm in plan.arms:
        names = [
            f"({stage.stage})" if stage.stage in arm.shared else stage.stage
            for stage in arm.stages
            if stage.stage not in ("collect", "grade")
        ]
        sizes = ("–" if not number else short(number) for number in (arm.tokens, arm.parameters))
        table.add_row(arm.arm, ", ".join(names), *sizes, duration(arm.seconds))
    table.caption = "\n".join(
        [
            f"all cells: {duration(plan.seconds)}, collection included; (stage): copied from an arm above",
            *plan.notes,
        ]
    )
    return table

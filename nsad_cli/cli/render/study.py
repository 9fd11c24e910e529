"""The output of `nsad study`: the live table of cells, the table of arms, and the plan."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import StderrHandler
from nsad_cli.cli.render.plan import duration, short
from nsad_cli.cli.render.tables import Fitted, new_table, percent
from nsad_cli.config.stages import RANKER
from nsad_cli.evaluation.outcomes import GREEDY
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
        numbers = (
            ["control" if control else "–", "", "", ""] if row["p"] is None else [*_comparison(row), _p(row["p_holm"])]
        )
        own = row.get("control") not in (None, result["control"])
        right = "–" if row["accuracy"] is None else percent(row["accuracy"])
        sizes = ("–" if not row[key] else short(row[key]) for key in ("tokens", "parameters"))
        table.add_row(f"{row['arm']} − {row['control']}" if own else row["arm"], str(row["n"]), right, *numbers, *sizes)
    table.caption = (
        "difference to the control (A − B: to B), in points; interval: bootstrap by problem;\n"
        "p: exact sign-flip test by problem; tokens: trained on in all stages of a run"
    )
    return Fitted(table)


def votes_tables(result: Mapping[str, Any]) -> list[Fitted]:
    """Build a table of rules for each arm whose runs have sampled chains."""
    return [_votes_table(row, result["seeds"]) for row in result["arms"] if row["votes"]]


def _votes_table(arm: Mapping[str, Any], seeds: Sequence[int]) -> Fitted:
    n, runs = arm["votes"][0]["n"], len(arm["seeds"])
    title = f"Votes of {arm['arm']}: {n} problems × {runs} {'seed' if len(seeds) == 1 else 'seeds'}"
    table = new_table(title, "rule", "right", "by seed", "− sc", "95 % interval", "p", "gap closed")
    for row in arm["votes"]:
        numbers = ["", "", ""] if row["p"] is None else _comparison(row)
        gap = "" if row["gap_closed"] is None else f"{row['gap_closed']:.0%}"
        by_seed = ", ".join(f"{100 * value:.1f}" for value in row["by_seed"])
        table.add_row(row["rule"] or GREEDY, percent(row["accuracy"]), by_seed, *numbers, gap)
    table.caption = (
        "difference to sc, in points; interval and p as above, for each rule alone;\n"
        "any: a right chain exists; gap closed: the difference, as a share of any − sc"
    )
    return Fitted(table)


def ranker_lines(result: Mapping[str, Any]) -> list[str]:
    """Say of each cell's ranker how well it ranks."""
    return [_ranker_line(row["run"], found) for row in result["cells"] if (found := row[RANKER.name])]


def _ranker_line(run: str, ranker: Mapping[str, Any]) -> str:
    kind = f"ranker of {run} ({ranker['kind'] or 'unknown'})"
    if ranker["pair_accuracy"] is None:
        measured = f"{kind}: not measured"
    else:
        measured = f"{kind}: ranks {percent(ranker['pair_accuracy'])} of {ranker['pairs']} pairs rightly"
    return f"{measured}; refused: {ranker['refused']}" if ranker["refused"] else measured


def _comparison(row: Mapping[str, Any]) -> list[str]:
    low, high = row["ci95"]
    points = f"{100 * row['difference']:+.1f}"
    return [points, f"{100 * low:+.1f} … {100 * high:+.1f}", _p(row["p"])]


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def summary(result: Mapping[str, Any]) -> str:
    """Say in one sentence which difference the study could have seen."""
    least = result["minimal_difference"]
    if len(result["arms"]) == 1:
        return "The study has one arm, so that there is none to compare it with."
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

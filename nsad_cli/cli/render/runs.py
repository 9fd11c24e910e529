"""The list of runs, and the description of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.cli.render.tables import Fitted, new_table, percent, plain
from nsad_cli.runs.overview import accuracy_by
from nsad_cli.utils.durations import span
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

RULES = (None, "sc", "asc")
"""Greedy answers, counting, and votes weighted by the ranker."""
NAME_WIDTH = 16
"""The width that a name keeps in a narrow terminal, in cells."""


def runs_table(title: str, rows: Sequence[Mapping[str, Any]], now: float) -> Fitted:
    """Build the list of runs; a narrow terminal gets fewer columns of text, and every number.

    Args:
        title: The table's title.
        rows: Rows of `nsad runs --json`.
        now: The time that ages count from, in seconds since the epoch.
    """
    return Fitted(*(_table(title, rows, now, texts) for texts in (("student", "teacher"), ("student",), ())))


def _table(title: str, rows: Sequence[Mapping[str, Any]], now: float, texts: Sequence[str]) -> Any:
    notes = ["note"] if texts and any(row["note"] for row in rows) else []
    left = ["run", "state", *texts, *notes]
    table = new_table(title, *left, "loss", *(rule or "greedy" for rule in RULES), "age", left=len(left))
    for row in rows:
        name = f"{row['run']}{' (chosen)' if row['chosen'] else ''}"
        words = [name, _state(row), *(row[key] or "–" for key in texts), *(row[key] or "" for key in notes)]
        table.add_row(*map(plain, words), *_numbers(row), "–" if row["created"] is None else span(now - row["created"]))
    for column in table.columns:
        column.no_wrap, column.overflow = column.justify == "right", "fold"
    for column in table.columns[: len(left)]:
        column.min_width = NAME_WIDTH if column.header == "run" else 10
    if any(row["accuracy"] for row in rows):
        table.caption = "loss: held out; accuracies: of the best model, over all its benchmarks"
    return table


def _state(row: Mapping[str, Any]) -> str:
    """Return the state of a run, with its latest stage if that has not finished."""
    state = str(row["run_state"])
    return state if state in ("finished", "empty") or row["stage"] is None else f"{state} ({row['stage']})"


def _numbers(row: Mapping[str, Any]) -> list[str]:
    found = [accuracy_by(row["accuracy"], rule) for rule in RULES]
    loss = "–" if row["loss"] is None else f"{row['loss']['value']:.3f}"
    return [loss, *("–" if value is None else percent(value) for value in found)]


def print_run(console: Console, row: Mapping[str, Any], now: float, resume: str | None) -> None:
    """Print one run: what it is, its stages, its accuracies, and the command that resumes it.

    Args:
        console: Where to print.
        row: A row of `nsad runs --json` with `stages`.
        now: The time that ages count from, in seconds since the epoch.
        resume: The command that resumes it, if it is known.
    """
    made = "–" if row["created"] is None else f"{span(now - row['created'])} ago"
    facts = {
        "state": _state(row),
        "student": row["student"],
        "teacher": row["teacher"],
        "note": row["note"],
        "created": made,
        "folder": row["path"],
        "resume": resume,
    }
    console.print(f"run {row['run']}{' (chosen)' if row['chosen'] else ''}", style="bold", markup=False)
    for key, value in facts.items():
        if value is not None:
            console.print(f"  {key:8} {escape_controls(str(value))}", markup=False, soft_wrap=True, highlight=False)
    if row["stages"]:
        table = new_table("Stages", "stage", "state", "time", left=2)
        for stage in row["stages"]:
            table.add_row(plain(stage["stage"]), plain(stage["state"]), span(stage["seconds"]))
        console.print(table)
    if row["accuracy"]:
        table = new_table(f"Accuracy of {row['accuracy'][0]['model']}, all benchmarks", "rule", "right", "problems")
        for found in row["accuracy"]:
            table.add_row(found["rule"] or "greedy", percent(found["accuracy"]), str(found["n"]))
        console.print(table)
    for effect in row["negatives"]:
        console.print(f"effect of negatives on {effect['model']} ({effect['on']}): {effect['summary']}", markup=False)

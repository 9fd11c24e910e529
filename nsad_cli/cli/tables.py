"""Tables that several commands print: their look, and the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no\nanswer",
    "truncated": "trun-\ncated",
    "filtered": "fil-\ntered",
    "bad_gold": "bad\ngold",
    "timeout": "time-\nout",
    "disputed": "dis-\nputed",
    "ungraded": "un-\ngraded",
}
"""Of the ledger's columns, in order, narrow."""
MAIN = ("correct", "wrong", "no_answer", "disputed")
MOST = 6
"""Verdicts that fit into 80 columns beside MATH's subjects."""


def new_table(title: str, *columns: str, left: int = 1) -> Table:
    """A plain table whose first `left` columns are text and whose others are numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    table.caption_justify = "left"
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right")
    return table


def ledger_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Draws by teacher and subject, a column a verdict; below them all draws, and each verdict's share.

    Where there are many verdicts the rarer kinds share a column, and the caption tells them apart.
    """
    from nsad_cli.readable import printable

    totals = _draws(rows)
    verdicts = [name for name in HEADINGS if name in totals]
    shown = verdicts if len(verdicts) <= MOST else [name for name in verdicts if name in MAIN]
    others = [name for name in verdicts if name not in shown]
    headings = [HEADINGS[name] for name in shown] + ["other"] * bool(others)
    table = new_table("Ledger (draws; correct is D+, wrong is D−)", "teacher", *headings)
    table.columns[0].overflow = "fold"

    def numbers(found: Counter[str]) -> list[int]:
        return [found[name] for name in shown] + [sum(found[name] for name in others)] * bool(others)

    def add(name: str, chosen: Sequence[dict[str, Any]]) -> None:
        table.add_row(printable(name).replace("[", "\\["), *map(str, numbers(_draws(chosen))))

    teachers = list(dict.fromkeys(row["teacher"] for row in rows))
    for teacher in teachers:
        mine = [row for row in rows if row["teacher"] == teacher]
        add(teacher, mine)
        subjects = list(dict.fromkeys(row["subject"] for row in mine))
        for subject in subjects if any(subjects) else ():
            add(f"  {subject or '(no subject)'}", [row for row in mine if row["subject"] == subject])
    if len(teachers) > 1:
        add("all", rows)
    if rows:
        table.add_row("share", *(percent(number / totals.total()) for number in numbers(totals)), style="dim")
    if others:
        table.caption = "other: " + ", ".join(
            f"{totals[name]} {name} ({percent(totals[name] / totals.total())})" for name in others
        )
    return table


def _draws(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    """Draws by verdict."""
    found: Counter[str] = Counter()
    for row in rows:
        found[row["verdict"]] += row["draws"]
    return found


def percent(share: float) -> str:
    """A share in percent; more than nothing is never shown as nothing."""
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"

"""Totals on the data screen: samples by teacher and subject, counted by verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.dashboard.export import ExportTable
from nsad_cli.dashboard.screens.data_text import LedgerRows, VerdictTotal, compute_totals, single_line
from nsad_cli.dashboard.widgets.row_list import Cell, Column, RowList
from nsad_cli.utils.terminal_text import RIGHT, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = (
    Column("teacher"),
    Column("samples", 9, number=True),
    Column(f"{RIGHT} D+", 9, number=True),
    Column(f"{WRONG} D−", 9, number=True),
    Column("? disputed", 10, number=True, drop=2),
    Column("ungraded", 8, number=True, drop=3),
    Column("other", 7, number=True, drop=4),
    Column("D+ share", 8, number=True, drop=1),
)


class TotalsList(RowList):
    """The list of totals: a row for each teacher, followed by its subjects."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, id="totals")
        self.totals: list[VerdictTotal] = []

    def show_ledger(self, ledger: LedgerRows) -> None:
        """Show the totals of a ledger."""
        self.totals = compute_totals(ledger)
        self.show(len(self.totals), self._cells)

    def _cells(self, index: int) -> Sequence[Cell]:
        total = self.totals[index]
        name = "all" if total.teacher is None else single_line(total.teacher)
        if total.subject is not None:
            name = f"  {single_line(total.subject) or '(no subject)'}"
        samples, right, *_ = total.numbers
        return (name, *(f"{number:,}" for number in total.numbers), f"{right / samples:.0%}")

    def data(self) -> ExportTable:
        """Return the totals as a table."""
        names = ("teacher", "subject", "draws", "right", "wrong", "disputed", "ungraded", "other")
        return ExportTable(names, [(total.teacher, total.subject, *total.numbers) for total in self.totals])

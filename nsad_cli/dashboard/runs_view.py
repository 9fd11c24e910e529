"""Every run: its state, stage, progress, time left, key figure."""

from __future__ import annotations

from textual.app import ComposeResult

from nsad_cli.dashboard.row_list import Column, RowList
from nsad_cli.dashboard.view import View


class RunsView(View):
    """The runs, the latest first."""

    NAME = "runs"

    def body(self) -> ComposeResult:
        """A list."""
        yield RowList([Column("run"), Column("state", 10), Column("stage", 12, drop=1)], id="runs")

    def follow(self) -> None:
        """List the runs."""
        names = [f"run-{i}" for i in range(100_000)]
        self.query_one(RowList).show(len(names), lambda i: (names[i], "running", "nat"))

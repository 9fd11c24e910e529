"""Data."""

from __future__ import annotations

from textual.app import ComposeResult

from nsad_cli.dashboard.view import View


class DataView(View):
    """Data."""

    NAME = "data"

    def body(self) -> ComposeResult:
        """Nothing yet."""
        yield from ()

    def follow(self) -> None:
        """Nothing yet."""

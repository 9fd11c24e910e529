"""Curves."""

from __future__ import annotations

from textual.app import ComposeResult

from nsad_cli.dashboard.view import View


class CurvesView(View):
    """Curves."""

    NAME = "curves"

    def body(self) -> ComposeResult:
        """Nothing yet."""
        yield from ()

    def follow(self) -> None:
        """Nothing yet."""

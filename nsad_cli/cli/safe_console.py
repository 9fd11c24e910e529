"""A rich console that escapes control characters, which could steer the terminal, in every text that it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable


class SafeConsole(Console):
    """Escapes control characters in every text; rich's own sequences (colours, cursor) are not texts."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            part if part.control else Segment(escape_controls(part.text), part.style) for part in buffer
        )

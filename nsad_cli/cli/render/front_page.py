"""The page of `nsad --help`, drawn like typer's pages without importing rich."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MIN_COLUMNS = 50
BOLD, DIM, CYAN, RESET = "\x1b[1m", "\x1b[2m", "\x1b[1;36m", "\x1b[0m"
ROUNDED, ASCII = "╭─╮│╰╯", "+-+|++"
"""Corners and lines of a panel: top left, horizontal, top right, vertical, bottom left, bottom right."""


def front_page(usage: str, about: str, panels: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Format the page for the terminal's width, in colour if stdout is a terminal and NO_COLOR is not set.

    Args:
        usage: The usage after the program's name.
        about: A sentence about the program.
        panels: Rows of a name and its description, by the panel's title.

    Returns:
        The page's text.
    """
    columns = max(MIN_COLUMNS, shutil.get_terminal_size().columns)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    frame = ROUNDED if (sys.stdout.encoding or "").lower().startswith("utf") else ASCII
    lines = ["", f" {_styled('Usage:', BOLD, colour)} nsad {usage}", ""]
    lines += textwrap.wrap(about, columns, initial_indent=" ", subsequent_indent=" ")
    names = max(len(name) for rows in panels.values() for name, _ in rows)
    lines.append("")
    for title, rows in panels.items():
        lines += _panel(title, rows, names, columns, frame, colour)
    return "\n".join(lines)


def _panel(
    title: str, rows: Iterable[tuple[str, str]], names: int, columns: int, frame: str, colour: bool
) -> list[str]:
    """Draw one panel; `names` is the width of the column of names."""
    top_left, line, top_right, side, bottom_left, bottom_right = (_styled(part, DIM, colour) for part in frame)
    room = columns - names - 6
    drawn = [f"{top_left}{line} {title} {_styled(frame[1] * (columns - len(title) - 5), DIM, colour)}{top_right}"]
    for name, text in rows:
        for number, part in enumerate(textwrap.wrap(text, room) or [""]):
            label = _styled(name.ljust(names), CYAN, colour) if not number else " " * names
            drawn.append(f"{side} {label}  {part.ljust(room)} {side}")
    return [*drawn, f"{bottom_left}{_styled(frame[1] * (columns - 2), DIM, colour)}{bottom_right}"]


def _styled(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{RESET}" if colour else text

"""Output of the commands: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.logs import NOTE, LineNoteLimit, logger
from nsad_cli.utils.terminal_text import escape_controls, escape_json

if TYPE_CHECKING:
    from rich.console import Console


def out() -> Console:
    """Return the console for results (stdout)."""
    from nsad_cli.cli.safe_console import SafeConsole

    return SafeConsole(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=not is_main_process())


def err() -> Console:
    """Return the console for everything else (stderr)."""
    from nsad_cli.cli.safe_console import SafeConsole

    return SafeConsole(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


class StderrHandler(logging.Handler):
    """Prints log records on stderr with rich; only the main process prints.

    Notes are plain text, warnings and errors are prefixed with their level, info and debug records are dim. While
    progress bars are shown, `bars` is their console, which prints above them.
    """

    bars: ClassVar[Console | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(LineNoteLimit())

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if is_main_process():
            style, label = _STYLES.get(record.levelno, (None, ""))
            (self.bars or err()).print(f"{label}{record.getMessage()}", style=style, markup=False, emoji=False)


_STYLES = {
    logging.DEBUG: ("dim", ""),
    logging.INFO: ("dim", ""),
    logging.WARNING: ("yellow", "warning: "),
    logging.ERROR: ("red", "error: "),
}


def set_up_logging(*, quiet: bool = False, verbose: int = 0) -> None:
    """Set the log level and attach a StderrHandler to the logger, in place of an earlier one.

    Args:
        quiet: Show only warnings and errors, no notes and no progress.
        verbose: 1 adds info records, 2 debug records.
    """
    for handler in [handler for handler in logger.handlers if isinstance(handler, StderrHandler)]:
        logger.removeHandler(handler)
    logger.addHandler(StderrHandler())
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else (NOTE, logging.INFO, logging.DEBUG)[min(verbose, 2)])


def print_json(value: dict[str, Any]) -> None:
    """Print a JSON object on one line of stdout; only the main process prints."""
    if is_main_process():
        print(escape_json(json.dumps(value, ensure_ascii=False)), flush=True)


def print_error(what: str, why: str, fix: str) -> None:
    """Print an error in three lines on stderr: what happened, why, what to try."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    red, reset = ("\x1b[1;31m", "\x1b[0m") if colour else ("", "")
    # Spaces are kept: a part may contain a command to be copied.
    one_line = [escape_controls(" ".join(filter(None, map(str.strip, part.splitlines())))) for part in (what, why, fix)]
    text = f"{red}error:{reset} {one_line[0]}\n  why: {one_line[1]}\n  try: {one_line[2]}"
    print(text, file=sys.stderr, flush=True)

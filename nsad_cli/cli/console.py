"""Output of the commands: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.logs import NOTE, logger

if TYPE_CHECKING:
    from rich.console import Console


def out() -> Console:
    """Return the console for results (stdout)."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=not is_main_process())


def err() -> Console:
    """Return the console for everything else (stderr)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


class StderrHandler(logging.Handler):
    """Prints log records on stderr, one line each; only the main process prints.

    Notes are plain text, warnings and errors are prefixed with their level, info and debug records are dim. While
    progress bars are shown, `bars` is their console, which prints above them.
    """

    bars: ClassVar[Console | None] = None

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if not is_main_process():
            return
        text = record.getMessage()
        style, label = _STYLES.get(record.levelno, ("", ""))
        if self.bars is not None:
            self.bars.print(f"{label}{text}", style=style or None, markup=False)
            return
        colour = style and sys.stderr.isatty() and "NO_COLOR" not in os.environ
        start, end = (_CODES[style], "\x1b[0m") if colour else ("", "")
        print(f"{start}{label}{end if label else ''}{text}{'' if label else end}", file=sys.stderr, flush=True)


_STYLES = {
    logging.DEBUG: ("dim", ""),
    logging.INFO: ("dim", ""),
    logging.WARNING: ("yellow", "warning: "),
    logging.ERROR: ("red", "error: "),
}
_CODES = {"dim": "\x1b[2m", "yellow": "\x1b[33m", "red": "\x1b[31m"}


def set_up_logging(*, quiet: bool = False, verbose: int = 0) -> None:
    """Set the log level and attach a StderrHandler to the logger, once.

    Args:
        quiet: Show only warnings and errors, no notes and no progress.
        verbose: 1 adds info records, 2 debug records.
    """
    if not any(isinstance(handler, StderrHandler) for handler in logger.handlers):
        logger.addHandler(StderrHandler())
        logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else (NOTE, logging.INFO, logging.DEBUG)[min(verbose, 2)])


def print_json(value: dict[str, Any]) -> None:
    """Print a JSON object on one line of stdout; only the main process prints."""
    if is_main_process():
        print(json.dumps(value, ensure_ascii=False), flush=True)


def print_error(what: str, why: str, fix: str) -> None:
    """Print an error in three lines on stderr: what happened, why, what to try."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    red, reset = ("\x1b[1;31m", "\x1b[0m") if colour else ("", "")
    one_line = [" ".join(part.split()) for part in (what, why, fix)]
    text = f"{red}error:{reset} {one_line[0]}\n  why: {one_line[1]}\n  try: {one_line[2]}"
    print(text, file=sys.stderr, flush=True)

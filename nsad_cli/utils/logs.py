"""The logger of NSAD, and notes: messages for whoever runs a command, shown unless --quiet is given."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("nsad")
"""Silent in a program that sets up no logging; the commands attach a handler that prints on stderr."""
NOTE = 25
"""Level of notes: above INFO, which -v adds, and below WARNING."""
logging.addLevelName(NOTE, "NOTE")


def note(message: str) -> None:
    """Log a note."""
    logger.log(NOTE, "%s", message)


def shows_notes() -> bool:
    """Whether notes and progress are wanted: always, unless the level was raised above theirs (--quiet)."""
    return logger.level <= NOTE


@contextlib.contextmanager
def muted_notes() -> Iterator[None]:
    """Drop notes while the context lasts, for work whose notes were shown before."""

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno != NOTE

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)

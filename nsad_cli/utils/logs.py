"""The logger of NSAD, and notes: messages of a command to its user, shown unless --quiet is given."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("nsad")
"""Silent unless the program configures logging; the commands attach a handler that prints on stderr."""
NOTE = 25
"""The level of notes, between INFO (shown with -v) and WARNING."""
logging.addLevelName(NOTE, "NOTE")


def note(message: str) -> None:
    """Log a note."""
    logger.log(NOTE, "%s", message)


def shows_notes() -> bool:
    """Return whether notes and progress are shown: always, unless the level is above NOTE (--quiet)."""
    return logger.level <= NOTE


@contextlib.contextmanager
def muted_notes() -> Iterator[None]:
    """Suppress notes within the context, for work whose notes have been shown before."""

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno != NOTE

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)

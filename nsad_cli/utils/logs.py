"""The logger of NSAD, and notes: messages of a command to its user, shown unless --quiet is given."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger("nsad")
"""Silent unless the program configures logging; the commands attach a handler that prints on stderr."""
NOTE = 25
"""The level of notes, between INFO (shown with -v) and WARNING."""
logging.addLevelName(NOTE, "NOTE")
MAX_LINE_NOTES = 5
"""Notes on the lines of one file that the commands show."""


def note(message: str) -> None:
    """Log a note."""
    logger.log(NOTE, "%s", message)


def line_note(path: Path, message: str) -> None:
    """Log a note on a line of a file. A file may give rise to millions, so the commands show the first few of each.

    Args:
        path: the file; a handler counts the notes on it (see the record's attribute `file`).
        message: the whole note, place included.
    """
    for notes in LineNotes.active:
        notes.first = notes.first or message
        notes.count += 1
    logger.log(NOTE, "%s", message, extra={"file": str(path)})


class LineNotes:
    """Counts line notes and holds the first one while its context lasts, whether notes are shown or not."""

    active: ClassVar[list[LineNotes]] = []

    def __init__(self) -> None:
        self.first, self.count = "", 0

    def __enter__(self) -> LineNotes:
        self.active.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.active.remove(self)


class LineNoteLimit(logging.Filter):
    """Passes the first notes on the lines of each file, then one that says how to see the others."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown; the first one over the limit is replaced."""
        file = getattr(record, "file", None)
        if file is None or logger.level < NOTE:
            return True
        self._seen[file] += 1
        if self._seen[file] == MAX_LINE_NOTES + 1:
            record.msg, record.args = "%s: more lines like these are not shown (-v shows them)", (file,)
        return self._seen[file] <= MAX_LINE_NOTES + 1


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

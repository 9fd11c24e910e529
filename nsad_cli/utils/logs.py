"""The logger of NSAD, and notes: messages for whoever runs a command, shown unless --quiet is given."""

from __future__ import annotations

import logging

logger = logging.getLogger("nsad")
"""Silent in a program that sets up no logging; the commands attach a handler on stderr."""
NOTE = 25
"""Level of notes: above INFO, which -v adds, and below WARNING."""
logging.addLevelName(NOTE, "NOTE")


def note(message: str) -> None:
    """Log a note."""
    logger.log(NOTE, "%s", message)

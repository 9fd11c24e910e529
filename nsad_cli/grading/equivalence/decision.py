"""What a cheap decider makes of two answers."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Decision(Enum):
    """OPEN: the second checker may prove them equal; what it reads only in part proves nothing different.

    UNDECIDABLE: nobody can decide, since one of them has two senses or no clear one.
    """

    EQUAL = "equal"
    DIFFERENT = "different"
    OPEN = "open"
    UNDECIDABLE = "undecidable"


Decider = Callable[[str, str, str, str], Decision | None]
"""Takes two answers as they stand (a, b) and normalised (x, y); None: not its kind, ask the next one."""
EQUAL, DIFFERENT = Decision.EQUAL, Decision.DIFFERENT
OPEN, UNDECIDABLE = Decision.OPEN, Decision.UNDECIDABLE

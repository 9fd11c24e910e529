"""What a cheap decider makes of two answers."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Decision(Enum):
    """OPEN: the second checker decides. DOUBTFUL: it may prove them equal, and nothing proves them different.

    UNDECIDABLE: nobody can, since one of them has two senses or no clear one.
    """

    EQUAL = "equal"
    DIFFERENT = "different"
    OPEN = "open"
    DOUBTFUL = "doubtful"
    UNDECIDABLE = "undecidable"


Decider = Callable[[str, str, str, str], Decision | None]
"""Takes two answers as they stand (a, b) and normalised (x, y); None: not its kind, ask the next one."""
EQUAL, DIFFERENT, OPEN = Decision.EQUAL, Decision.DIFFERENT, Decision.OPEN
DOUBTFUL, UNDECIDABLE = Decision.DOUBTFUL, Decision.UNDECIDABLE

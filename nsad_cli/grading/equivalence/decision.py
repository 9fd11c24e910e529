"""The decision of a rule about two answers."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Decision(Enum):
    """The relation of two answers.

    OPEN: the second checker may prove them equal; since it may parse them in part only, it never proves them different.
    UNDECIDABLE: no checker can decide, because one of the answers is ambiguous or unclear.
    """

    EQUAL = "equal"
    DIFFERENT = "different"
    OPEN = "open"
    UNDECIDABLE = "undecidable"


Decider = Callable[[str, str, str, str], Decision | None]
"""Takes two answers as written (a, b) and normalised (x, y); returns None if the rule does not apply."""
EQUAL, DIFFERENT = Decision.EQUAL, Decision.DIFFERENT
OPEN, UNDECIDABLE = Decision.OPEN, Decision.UNDECIDABLE

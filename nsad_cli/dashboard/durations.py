"""Lengths of time for people."""

from __future__ import annotations

import math

CLOCK_TOLERANCE_SECONDS = 5.0
"""Seconds by which a time may lie ahead of this machine's clock and still be now: no two clocks agree quite."""


def span(seconds: float | None) -> str:
    """12 s, 4 min, 2 h 05, 3 d; a dash for None, or what is no number. A negative one is none at all: clocks jump."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    seconds = max(0.0, seconds)  # in this order, which leaves no -0.0
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02}" if hours < 48 else f"{hours / 24:.0f} d"


def ago(seconds: float) -> str:
    """How long ago something was; that of a time still to come, by this machine's clock, is said as it is."""
    if seconds < -CLOCK_TOLERANCE_SECONDS:
        return f"{span(-seconds)} ahead of this machine's clock"
    return f"{span(seconds)} ago"

"""Formatting of durations and ages."""

from __future__ import annotations

import math

CLOCK_TOLERANCE_SECONDS = 5.0
"""Seconds by which a time may be ahead of this machine's clock and still count as now: clocks differ slightly."""


def span(seconds: float | None) -> str:
    """Format a duration: 12 s, 4 min, 2 h 05, 3 d; a dash for None and non-finite numbers.

    Negative durations are formatted as 0, because clocks may be set back.
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    seconds = max(0.0, seconds)  # this argument order also turns -0.0 into 0.0
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
    """Format the age of an event; a time in the future is reported as ahead of this machine's clock."""
    if seconds < -CLOCK_TOLERANCE_SECONDS:
        return f"{span(-seconds)} ahead of this machine's clock"
    return f"{span(seconds)} ago"

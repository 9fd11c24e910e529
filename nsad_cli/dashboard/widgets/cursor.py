"""Movement of a cursor along the points of a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsad_cli.dashboard.live.series import Series


def snap_to_point(series: Series, step: float) -> float:
    """Return the step of the nearest point; the step itself if the series is empty."""
    place = series.nearest(step)
    return step if place is None else float(series.steps[place])


def move_by_columns(series: Series, cursor: float | None, by: int, bounds: tuple[float, float], columns: int) -> float:
    """Move the cursor by columns, or by points if these are farther apart than columns.

    Without a visible cursor, return the last visible point. The series must not be empty.
    """
    first, last = bounds
    if cursor is None or not first <= cursor <= last:
        return snap_to_point(series, last)
    place = series.nearest(cursor) or 0
    stride = max(1, round(len(series.between(first, last)) / columns))
    return float(series.steps[max(0, min(place + by * stride, len(series) - 1))])

"""Where a cursor stands on curves: on steps at which something was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsad_cli.dashboard.live.series import Series


def snap_to_point(series: Series, step: float) -> float:
    """The nearest step at which something was told; the step itself where nothing was."""
    place = series.nearest(step)
    return step if place is None else float(series.steps[place])


def move_by_columns(series: Series, cursor: float | None, by: int, bounds: tuple[float, float], columns: int) -> float:
    """A column to a side, or a step where they are farther apart; the newest in sight where none was.

    The series has a point at least.
    """
    first, last = bounds
    if cursor is None or not first <= cursor <= last:
        return snap_to_point(series, last)
    place = series.nearest(cursor) or 0
    stride = max(1, round(len(series.between(first, last)) / columns))
    return float(series.steps[max(0, min(place + by * stride, len(series) - 1))])

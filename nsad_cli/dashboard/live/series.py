"""Time series of metrics, and their decimation to the columns of a screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One metric of a stage: steps [n] in ascending order, values [n] (NaN: not finite), times [n] (s since 1970)."""

    steps: Floats
    values: Floats
    times: Floats

    def __len__(self) -> int:
        return len(self.steps)

    def between(self, first: float, last: float) -> Series:
        """Return the part from one step to another, both included."""
        part = slice(int(self.steps.searchsorted(first)), int(self.steps.searchsorted(last, "right")))
        return Series(self.steps[part], self.values[part], self.times[part])

    def copy(self) -> Series:
        """Return a copy that stays valid when the log is read further."""
        return Series(self.steps.copy(), self.values.copy(), self.times.copy())

    def nearest(self, step: float) -> int | None:
        """Return the index of the point nearest to a step, the later one of two; None if the series is empty."""
        if not len(self.steps):
            return None
        after = int(self.steps.searchsorted(step, "right"))
        if after and (after == len(self) or step - self.steps[after - 1] < self.steps[after] - step):
            return after - 1
        return after


@dataclass(frozen=True, slots=True, eq=False)
class CurveColumns:
    """A curve decimated to screen columns, all arrays [c]; NaN for a column without a finite value.

    A column spans from `low` to `high`; the line enters it at `first` and leaves it at `last`.
    """

    low: Floats
    high: Floats
    first: Floats
    last: Floats
    joined: Bools
    """Whether the line connects this column to the previous one drawn, with no non-finite value between them."""
    nonfinite: Bools
    """Whether the column contains a value that is not finite."""
    before: tuple[float, float] | None
    """Column (below 0) and value of the point before the first column, if the line starts there."""
    after: tuple[float, float] | None
    """Column and value of the point after the last column, if the line continues to it."""


def decimate(series: Series, first: float, last: float, columns: int, *, positive: bool = False) -> CurveColumns:
    """Return the minimum and maximum in each of the equal columns between two steps, so that spikes stay visible.

    Args:
        series: The curve.
        first: The step at the left edge.
        last: The step at the right edge.
        columns: Number of columns.
        positive: Treat values that are not positive as not finite, for a logarithmic axis.
    """
    edges = np.linspace(first, last, columns + 1)
    edges[-1] = np.nextafter(last, np.inf)
    steps, values = series.steps, series.values
    starts = steps.searchsorted(edges)
    filled = np.flatnonzero(starts[1:] > starts[:-1])
    begin, end = starts[:-1][filled], starts[1:][filled]
    low, high, enter, leave = (np.full(columns, np.nan) for _ in range(4))
    joined, nonfinite = np.zeros(columns, bool), np.zeros(columns, bool)

    def finite(found: Floats) -> Bools:
        return found > 0 if positive else found == found

    if len(filled):
        visible = values[: starts[-1]]
        low[filled], high[filled] = np.minimum.reduceat(visible, begin), np.maximum.reduceat(visible, begin)
        enter[filled], leave[filled] = values[begin], values[end - 1]
        joined[filled] = (begin > 0) & finite(values[begin]) & finite(values[begin - 1])
        nonfinite[filled] = ~finite(low[filled])  # the minimum is NaN if any value is
    for column in np.flatnonzero(nonfinite):
        part = values[starts[column] : starts[column + 1]]
        part = part[finite(part)]
        ends = (part.min(), part.max(), part[0], part[-1]) if len(part) else (np.nan,) * 4
        low[column], high[column], enter[column], leave[column] = ends

    def outside(place: int, neighbour: int) -> tuple[float, float] | None:
        if min(place, neighbour) < 0 or max(place, neighbour) >= len(steps):
            return None
        if not finite(values[[place, neighbour]]).all():
            return None
        return float((steps[place] - first) / (last - first) * columns), float(values[place])

    before, after = outside(starts[0] - 1, starts[0]), outside(starts[-1], starts[-1] - 1)
    return CurveColumns(low, high, enter, leave, joined, nonfinite, before, after)

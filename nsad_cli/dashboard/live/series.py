"""Numbers over steps, and what of them fits the columns of a screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One metric of a stage: steps [n], which never fall, values [n] (NaN: not finite), times [n] (s since 1970)."""

    steps: Floats
    values: Floats
    times: Floats

    def __len__(self) -> int:
        return len(self.steps)

    def between(self, first: float, last: float) -> Series:
        """The part from one step to another, both included."""
        part = slice(int(self.steps.searchsorted(first)), int(self.steps.searchsorted(last, "right")))
        return Series(self.steps[part], self.values[part], self.times[part])

    def copy(self) -> Series:
        """Arrays of its own, which hold whatever is read next."""
        return Series(self.steps.copy(), self.values.copy(), self.times.copy())

    def nearest(self, step: float) -> int | None:
        """The place of the point nearest to a step, the later one where two are; None where there is no point."""
        if not len(self.steps):
            return None
        after = int(self.steps.searchsorted(step, "right"))
        if after and (after == len(self) or step - self.steps[after - 1] < self.steps[after] - step):
            return after - 1
        return after


@dataclass(frozen=True, slots=True, eq=False)
class CurveColumns:
    """A curve as a screen's columns show it, all [c]; NaN where no finite value falls into a column.

    A column spans from `low` to `high`; the line enters it at `first` and leaves it at `last`.
    """

    low: Floats
    high: Floats
    first: Floats
    last: Floats
    joined: Bools
    """Whether the line comes to this column from the one drawn before it: nothing that is not finite lies between."""
    nonfinite: Bools
    """Whether a value that is not finite falls into the column."""
    before: tuple[float, float] | None
    """The point before the first column, where the line comes from it: its column (below 0), its value."""
    after: tuple[float, float] | None
    """The point after the last column, where the line goes on to it."""


def decimate(series: Series, first: float, last: float, columns: int, *, positive: bool = False) -> CurveColumns:
    """The lowest and highest value in each of the equal columns from one step to another: a spike never disappears.

    positive: what is not above 0 counts as not finite, as a logarithmic axis needs.
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
        nonfinite[filled] = ~finite(low[filled])  # a column's lowest value is none where one of its values is none
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

"""Exponential moving averages of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nsad_cli.dashboard.live.growable_array import GrowableArray
from nsad_cli.dashboard.live.series import Floats, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.dashboard.live.event_log import EventLogReader

WEIGHTS = (0.0, 0.6, 0.9, 0.99, 0.999)
"""Decay factors of the average from one point to the next; 0 disables smoothing."""

CHUNK_POINTS = 1 << 15
"""Points processed at once; they fit into the CPU cache."""


class MovingAverage:
    """The exponential moving average of a growing series; each point is processed once.

    m_i = Σ w^(i−j) x_j / Σ w^(i−j) over the finite points j ≤ i, which corrects the bias towards zero at the start
    (Kingma and Ba 2015, section 3). Points that are not finite remain gaps and do not affect the average.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self._reset()

    def _reset(self) -> None:
        self._means = GrowableArray()
        self._sums = np.zeros(2)  # of values, and of weights
        self._last_point: tuple[float, float] | None = None

    def average(self, series: Series) -> Series:
        """Return the averages at the series' steps."""
        done = len(self._means)
        seen = (series.steps[done - 1], series.values[done - 1]) if 0 < done <= len(series) else None
        if done and (seen is None or not np.array_equal(seen, self._last_point or (), equal_nan=True)):
            self._reset()  # the series was truncated, because a stage was resumed or run again
            done = 0
        for start in range(done, len(series), CHUNK_POINTS):
            self._means.extend(self._next(series.values[start : start + CHUNK_POINTS]))
        if len(series) > done:
            self._last_point = (float(series.steps[-1]), float(series.values[-1]))
        return Series(series.steps, self._means.array(), series.times)

    def _next(self, values: Floats) -> Floats:
        finite = ~np.isnan(values)
        sums = decayed_sums(np.stack([np.where(finite, values, 0.0), finite]), self.weight, self._sums)
        self._sums = sums[:, -1]
        with np.errstate(invalid="ignore"):  # before the first finite point both are 0
            return np.where(finite, sums[0] / sums[1], np.nan)


class AverageCache:
    """Cache of the averages of many curves, each of which is updated incrementally."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, float], tuple[EventLogReader, int, MovingAverage]] = {}

    def average(self, run: str, stage: str, metric: str, series: Series, weight: float, log: EventLogReader) -> Series:
        """Return the average of a series; recomputed from the start if events of its log were replaced."""
        key = run, stage, metric, weight
        known, rewritten, average = self._known.get(key, (None, 0, MovingAverage(weight)))
        if known is not log or rewritten != log.rewritten:
            average = MovingAverage(weight)
        self._known[key] = log, log.rewritten, average
        return average.average(series)

    def keep_only(self, runs: Sequence[str]) -> None:
        """Drop the averages of all other runs."""
        self._known = {key: value for key, value in self._known.items() if key[0] in runs}


def decayed_sums(rows: Floats, weight: float, before: Floats) -> Floats:
    """Compute s_i = w s_(i−1) + x_i along each row of x [r,n], with s_(−1) = before [r]."""
    count, length = rows.shape
    # numpy has no such scan. Within a block, s_i = w^i Σ x_j w^(−j); the block size keeps w^(−j) from overflowing.
    size = int(min(4096, 1 + 100 / -np.log10(weight), length))
    blocks = np.zeros((count, -(-length // size), size))
    blocks.reshape(count, -1)[:, :length] = rows
    powers = weight ** np.arange(size)
    sums = np.cumsum(blocks / powers, axis=2) * powers
    carried = before
    for block in range(sums.shape[1]):
        sums[:, block] += weight * powers * carried[:, None]
        carried = sums[:, block, -1]
    decayed: Floats = sums.reshape(count, -1)[:, :length].copy()
    return decayed

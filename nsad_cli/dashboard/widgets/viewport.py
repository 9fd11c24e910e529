"""The visible step range of a chart: zoom, pan, follow the latest step."""

from __future__ import annotations

MIN_STEPS = 4.0
"""Minimum number of visible steps."""


class Viewport:
    """The visible range of steps; a range that includes the latest step follows it."""

    def __init__(self) -> None:
        self.extent = (0.0, 1.0)
        self._zoomed: tuple[float, float] | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The first and the last visible step."""
        return self._zoomed or self.extent

    @property
    def shows_all(self) -> bool:
        """Whether all steps are visible."""
        return self._zoomed is None

    @property
    def shows_latest(self) -> bool:
        """Whether the latest step is visible."""
        return self._zoomed is None or self._zoomed[1] >= self.extent[1]

    def set_extent(self, first: float, last: float) -> None:
        """Set the range of all steps, from the first to the last."""
        if last <= first:
            first, last = first - 0.5, last + 0.5
        follows, self.extent = self.shows_latest, (first, last)
        if self._zoomed is not None:
            width = self._zoomed[1] - self._zoomed[0]
            self._set(last - width if follows else self._zoomed[0], width)

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Show `factor` times as many steps, keeping the step `around` in place.

        If `around` is None or not visible, the latest step stays in place if it is visible, else the middle.
        """
        first, last = self.bounds
        if around is None or not first <= around <= last:
            around = last if self.shows_latest else (first + last) / 2
        width = max((last - first) * factor, min(MIN_STEPS, last - first))
        self._set(around - (around - first) * width / (last - first), width)

    def pan(self, share: float) -> None:
        """Move the range by a share of its width; to the right if positive."""
        first, last = self.bounds
        self._set(first + share * (last - first), last - first)

    def show_all(self) -> None:
        """Show all steps."""
        self._zoomed = None

    def _set(self, first: float, width: float) -> None:
        low, high = self.extent
        if width >= high - low:
            self._zoomed = None
            return
        first = min(max(first, low), high - width)
        self._zoomed = (first, high if first + width > high - 1e-9 * width else first + width)

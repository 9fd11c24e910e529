"""Charts as data, each with a description in words, which is its text alternative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nsad_cli.dashboard.axis_ticks import short_number

if TYPE_CHECKING:
    from collections.abc import Sequence

Tone = Literal["plain", "good", "bad", "muted"]
MAX_DESCRIBED = 40
"""Rows of a chart that its description lists; a table beside the chart has all of them."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart.

    Attributes:
        name: The name in the legend.
        points: (x, y) in ascending x.
        band: (x, low, high) of a shaded region around it.
        dots: Draw dots instead of a line.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float, float], ...] = ()
    dots: bool = False


@dataclass(frozen=True, slots=True)
class LineChart:
    """Series over a common x axis; `percent` shows y, a fraction, in percent."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    percent: bool = False

    def describe(self) -> str:
        """Describe each series by its first, last, lowest and highest value."""
        parts = [f"Line chart of {self.y_label} by {self.x_label}."]
        for item in self.series:
            (x0, y0), (x1, y1) = item.points[0], item.points[-1]
            values = [y for _, y in item.points]
            low, high = self.shown(min(values)), self.shown(max(values))
            parts.append(
                f"{item.name}: {self.shown(y0)} at {x0:g}, {self.shown(y1)} at {x1:g}; lowest {low}, highest {high}."
            )
        return " ".join(parts)

    def shown(self, y: float) -> str:
        """Format a value."""
        return percent(y) if self.percent else short_number(y, 3)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """An estimate with its 95 % interval (None if unknown); rows of one `group` share a colour."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    group: int = 0


@dataclass(frozen=True, slots=True)
class ForestPlot:
    """Estimates with intervals, one below another; values are fractions, shown in percent.

    Attributes:
        title: The title.
        x_label: What the values are.
        rows: The estimates, from top to bottom.
        reference: A value that is marked by a dashed line, and its name.
        signed: The values are differences.
    """

    title: str
    x_label: str
    rows: tuple[ForestRow, ...]
    reference: tuple[float, str] | None = None
    signed: bool = False

    def describe(self) -> str:
        """List the estimates with their intervals."""
        listed = [f"{row.label} {self.shown(row)}" for row in self.rows[:MAX_DESCRIBED]]
        more = [f"and {len(self.rows) - MAX_DESCRIBED} more"] if len(self.rows) > MAX_DESCRIBED else []
        line = f" The dashed line is {self.reference[1]}, {self.number(self.reference[0])}." if self.reference else ""
        return f"Forest plot of {self.x_label} with 95 % intervals: {'; '.join(listed + more)}.{line}"

    def shown(self, row: ForestRow) -> str:
        """Format an estimate and its interval."""
        if row.low is None or row.high is None:
            return self.number(row.value)
        return f"{self.number(row.value)} ({self.number(row.low)} to {self.number(row.high)})"

    def number(self, value: float) -> str:
        """Format a value in percent, without the sign %."""
        points = round(100 * value, 1) + 0.0  # + 0.0: no negative zero
        return f"{points:+.1f}" if self.signed else f"{points:.1f}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its label, its length as a fraction of the axis, and the text after it."""

    label: str
    share: float
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class BarChart:
    """Horizontal bars of fractions of a whole."""

    title: str
    x_label: str
    bars: tuple[Bar, ...]

    def describe(self) -> str:
        """List the bars."""
        listed = [f"{bar.label} {bar.text}" for bar in self.bars[:MAX_DESCRIBED]]
        more = [f"and {len(self.bars) - MAX_DESCRIBED} more"] if len(self.bars) > MAX_DESCRIBED else []
        return f"Bar chart of {self.x_label}: {'; '.join(listed + more)}."


Chart = LineChart | ForestPlot | BarChart


def percent(share: float) -> str:
    """Format a fraction in percent with one decimal; number and sign stay on one line."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def thinned(points: Sequence[tuple[float, float]], most: int = 400) -> tuple[tuple[float, float], ...]:
    """Return at most about `most` of the points, evenly spaced, the last one always."""
    if len(points) <= most:
        return tuple(points)
    step = -(-len(points) // most)
    kept = list(points[::step])
    return tuple(kept if kept[-1] == points[-1] else [*kept, points[-1]])

"""Load gauges: bar charts of values over time, each with the current and the peak value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

EIGHTHS = " ▁▂▃▄▅▆▇█"
CHART_LINES = 3
"""Height of a chart below its heading; if there is not enough room, the chart is one line beside the heading."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One load over time.

    Attributes:
        group: Heading under which the gauge is drawn, e.g. a GPU; may be empty.
        name: The gauge's label.
        unit: Unit of the values.
        values: The values in order of time.
        positions: Horizontal position of each value from 0 (left) to 1 (right); None: evenly spaced.
        top: The value of a full bar; None: the total, or else the peak.
        total: Capacity that the values are a part of, shown beside the current value.
    """

    group: str
    name: str
    unit: str
    values: np.ndarray
    positions: np.ndarray | None = None
    top: float | None = None
    total: float | None = None

    @property
    def has_values(self) -> bool:
        """Whether there is any finite value."""
        return bool(np.isfinite(self.values).any())

    @property
    def now(self) -> str:
        """The last value, formatted."""
        text = self._text(float(self.values[-1]) if self.values.size else float("nan"))
        return f"{text} {self.unit}" if self.total is None else f"{text} of {self._text(self.total)} {self.unit}"

    @property
    def peak(self) -> str:
        """The highest value, formatted."""
        return f"{self._text(float(np.nanmax(self.values)))} {self.unit}"

    def _text(self, value: float) -> str:
        return "–" if value != value else f"{value:.1f}" if self.unit == "GiB" else f"{value:.0f}"

    def bars(self, width: int, height: int) -> list[str]:
        """Draw the values as bars, `height` lines of `width` cells; a column is a mean, or blank without values."""
        columns = _columns(self.values, self.positions, width)
        full_scale = self.top or self.total or float(np.nanmax(self.values)) or 1.0
        eighths = np.where(np.isfinite(columns), np.clip(np.ceil(columns / full_scale * height * 8), 1, height * 8), 0)
        lines = []
        for line in reversed(range(height)):
            part = np.clip(eighths - line * 8, 0, 8).astype(int)
            lines.append("".join(EIGHTHS[index] for index in part))
        return lines


def _columns(values: np.ndarray, positions: np.ndarray | None, width: int) -> np.ndarray:
    """Return the mean of the values in each column; NaN for a column without values."""
    if positions is None and values.size <= width:
        return values[np.arange(width) * values.size // width] if values.size else np.full(width, np.nan)
    finite = np.isfinite(values)
    if positions is None:
        firsts = np.arange(width) * values.size // width
        counts = np.add.reduceat(finite, firsts, dtype=np.int64)
        sums = np.add.reduceat(values if finite.all() else np.where(finite, values, 0.0), firsts)
    else:
        finite &= (positions >= 0) & (positions <= 1)
        columns = np.minimum((positions[finite] * width).astype(int), width - 1)
        counts = np.bincount(columns, minlength=width)
        sums = np.bincount(columns, weights=values[finite], minlength=width)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def draw_gauges(gauges: Sequence[Gauge], width: int, height: int, tint: str, dim: str) -> Text:
    """Draw the gauges below each other, as detailed as the height allows.

    Each gauge has a chart, or one line; if even that does not fit, each GPU has one line.
    """
    groups: dict[str, list[Gauge]] = {}
    for gauge in gauges:
        groups.setdefault(gauge.group, []).append(gauge)
    heads = len([group for group in groups if group])
    room = (height - heads) // max(len(gauges), 1) - 1
    tight = len(gauges) + heads > height
    text = Text(no_wrap=True, end="")
    for group, members in groups.items():
        if group and tight:
            _one_line(text, group, members, gauges, width, tint)
            continue
        text.append(f"{group}\n" if group else "", "bold")
        for gauge in members:
            if not gauge.has_values:
                text.append(f"{gauge.name:<8}").append("– (not reported by the device)\n", dim)
            elif room >= CHART_LINES:
                text.append(f"{gauge.name:<8}").append(gauge.now, "bold").append(f"  peak {gauge.peak}\n", dim)
                for line in gauge.bars(width, CHART_LINES):
                    text.append(f"{line}\n", tint)
                text.append("\n" * (room > CHART_LINES))
            else:
                shown = [item for item in gauges if item.has_values and not (tight and item.group)]
                now, peak = max(len(item.now) for item in shown) + 1, max(len(item.peak) for item in shown)
                text.append(f"{gauge.name:<8}").append(f"{gauge.now:<{now}}", "bold")
                text.append(gauge.bars(max(width - 14 - now - peak, 1), 1)[0], tint)
                text.append(f" peak {gauge.peak:>{peak}}\n", dim)
    return text


def _one_line(
    text: Text, group: str, members: Sequence[Gauge], all_gauges: Sequence[Gauge], width: int, tint: str
) -> None:
    """Draw a GPU's values in one line, aligned with other GPUs, and its first gauge as bars in the remaining width."""
    values = "  ".join(
        gauge.now.rjust(max(len(other.now) for other in all_gauges if other.group and other.name == gauge.name))
        for gauge in members
    )
    text.append(f"{' '.join(group.split()[:2]):<8}").append(f"{values} ", "bold")
    left = width - 9 - len(values)
    text.append(members[0].bars(left, 1)[0] if members[0].has_values and left > 3 else "", tint).append("\n")

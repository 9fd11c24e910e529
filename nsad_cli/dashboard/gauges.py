"""Loads over time as bars of characters, each with what it is now and at its peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.text import Text

EIGHTHS = " ▁▂▃▄▅▆▇█"
TALL, LOW = 3, 2
"""Lines of a chart at most, and the fewest for which one is drawn below its heading rather than beside it."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One load: where it is drawn (`group`, e.g. a GPU), its name and unit, and its values.

    places: of each value from 0 (left) to 1 (right); None spreads them evenly. top: the value of a full bar; None is
    the peak. whole: of what the values are a part, told beside them.
    """

    group: str
    name: str
    unit: str
    values: np.ndarray
    places: np.ndarray | None = None
    top: float | None = None
    whole: float | None = None

    @property
    def told(self) -> bool:
        """Whether there is any value."""
        return bool(np.isfinite(self.values).any())

    @property
    def now(self) -> str:
        """The last value."""
        text = self._text(float(self.values[-1]) if self.values.size else float("nan"))
        return f"{text} {self.unit}" if self.whole is None else f"{text} of {self._text(self.whole)} {self.unit}"

    @property
    def peak(self) -> str:
        """The highest value."""
        return f"{self._text(float(np.nanmax(self.values)))} {self.unit}"

    def _text(self, value: float) -> str:
        return "–" if value != value else f"{value:.1f}" if self.unit == "GiB" else f"{value:.0f}"

    def bars(self, width: int, height: int) -> list[str]:
        """The values as bars, `height` lines of `width` cells; the highest value of each column, a gap for none."""
        columns = _columns(self.values, self.places, width)
        full = self.top or self.whole or float(np.nanmax(self.values)) or 1.0
        eighths = np.where(np.isfinite(columns), np.clip(np.ceil(columns / full * height * 8), 1, height * 8), 0)
        lines = []
        for line in reversed(range(height)):
            part = np.clip(eighths - line * 8, 0, 8).astype(int)
            lines.append("".join(EIGHTHS[index] for index in part))
        return lines


def _columns(values: np.ndarray, places: np.ndarray | None, width: int) -> np.ndarray:
    """The highest of the values that fall into each column, nan where none does."""
    if places is not None:
        columns = np.full(width, np.nan)
        inside = (places >= 0) & (places <= 1)
        np.fmax.at(columns, np.minimum((places[inside] * width).astype(int), width - 1), values[inside])
        return columns
    if values.size <= width:
        return values[np.arange(width) * values.size // width] if values.size else np.full(width, np.nan)
    return np.fmax.reduceat(values, np.arange(width) * values.size // width)


def draw(gauges: Sequence[Gauge], width: int, height: int, tint: str, dim: str) -> Text:
    """The gauges below each other in that room: with charts where it is enough, else a line each."""
    groups = list(dict.fromkeys(gauge.group for gauge in gauges))
    heads = len([group for group in groups if group])
    room = (height - heads) // max(len(gauges), 1) - 1
    text = Text(no_wrap=True, end="")
    for group in groups:
        if group:
            text.append(f"{group}\n", "bold")
        for gauge in gauges:
            if gauge.group != group:
                continue
            if not gauge.told:
                text.append(f"{gauge.name:<8}").append("– (the device does not tell)\n", dim)
            elif room >= LOW:
                text.append(f"{gauge.name:<8}").append(gauge.now, "bold").append(f"  peak {gauge.peak}\n", dim)
                for line in gauge.bars(width, min(room, TALL)):
                    text.append(f"{line}\n", tint)
                text.append("\n" * (room > TALL))
            else:
                now, peak = f"{gauge.now:<17} ", f" peak {gauge.peak}"
                left = max(width - 8 - len(now) - len(peak), 1)
                text.append(f"{gauge.name:<8}").append(now, "bold").append(gauge.bars(left, 1)[0], tint)
                text.append(f"{peak}\n", dim)
    return text

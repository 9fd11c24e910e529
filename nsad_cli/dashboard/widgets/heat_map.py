"""Heat map of values by layer and step: diverging colours around 0, with a sign in cells of large values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from nsad_cli.dashboard.axis_ticks import short_number
from nsad_cli.dashboard.live.series import Floats, Series, decimate
from nsad_cli.dashboard.themes import LINE, tints, with_contrast
from nsad_cli.dashboard.widgets.step_plot import StepPlot, segments

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVELS = 8
"""Number of colour levels on each side of 0."""
SIGN_LEVEL = 2
"""Level from which a cell also shows a sign."""
BELOW, ABOVE = "#56B4E9", "#E69F00"
"""Okabe and Ito's blue and orange, distinguishable with every type of colour vision."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A layer's number and its values over steps."""

    number: int
    series: Series


class HeatMap(StepPlot):
    """A heat map with one row per layer, the first at the top.

    If there are more layers than rows, neighbouring layers share a row, which shows the value farthest from 0.
    """

    layer_curves: Sequence[Layer] = ()
    selected_row: int | None = None
    """The row that was clicked on last."""

    def show(self, layers: Sequence[Layer]) -> None:
        """Show these layers, in this order."""
        self.layer_curves = layers
        self.changed()

    @property
    def rows(self) -> int:
        """Height in lines, without the axis and the legend."""
        return max(self.size.height - 2, 1)

    @property
    def layers_per_row(self) -> int:
        """Number of layers that share a row."""
        return max(1, -(-len(self.layer_curves) // self.rows))

    def row_layers(self, row: int) -> Sequence[Layer]:
        """Return the layers in a row of the heat map."""
        return self.layer_curves[row * self.layers_per_row : (row + 1) * self.layers_per_row]

    def paint(self) -> list[Strip]:
        """Draw the rows, the axis, and the colour scale."""
        names = []
        for start in range(0, len(self.layer_curves), self.layers_per_row):
            own = self.layer_curves[start : start + self.layers_per_row]
            names.append(f"{own[0].number}–{own[-1].number}" if len(own) > 1 else str(own[0].number))
        self.label_width = max((len(name) for name in names), default=0) + 1
        values = self._values(len(names))
        largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
        table = self._styles()
        dim = self.ink(tints(self.app)["dim"])
        lines = []
        for name, row in zip(names, values, strict=True):
            level = np.rint(np.nan_to_num(row) / (largest or 1.0) * LEVELS).astype(np.intp)
            codes = np.where(level >= SIGN_LEVEL, ord("+"), np.where(level <= -SIGN_LEVEL, ord("−"), ord(" ")))
            kinds = np.where(np.isnan(row), 2 * LEVELS + 1, level + LEVELS)
            cursor = self.scale.column(self.cursor) if self.cursor is not None else -1
            if 0 <= cursor < self.columns:
                codes[cursor] = ord("│")
            parts = [
                Segment(f"{name:>{self.label_width - 1}} ", dim),
                *segments(codes.astype(np.uint32), kinds, table),
            ]
            lines.append(Strip(parts, self.size.width))
        return [*lines, self.axis(), self._legend(largest, table)]

    def _values(self, rows: int) -> Floats:
        """Return the value of each cell [rows, c]: the one farthest from 0 among its steps and layers."""
        first, last = self.viewport.bounds
        cell_values = np.full((rows, self.columns), np.nan)
        for place, layer in enumerate(self.layer_curves):
            columns = decimate(layer.series, first, last, self.columns)
            value = np.where(np.abs(columns.low) > np.abs(columns.high), columns.low, columns.high)
            measured = np.flatnonzero(~np.isnan(value))
            if not len(measured):
                continue
            # A value is shown until the next measurement; the cells after the last one are empty.
            until = self.columns if columns.after is not None else measured[-1] + 1
            held = measured.searchsorted(np.arange(until), "right") - 1
            value[:until] = np.where(held >= 0, value[measured[held]], np.nan)
            value[columns.nonfinite & np.isnan(columns.low)] = np.nan
            row = cell_values[place // self.layers_per_row]
            row[:] = np.where(np.isnan(row) | (np.abs(value) > np.abs(row)), value, row)
        return cell_values

    def _styles(self) -> list[Style]:
        """Return the styles of the levels from the lowest up, followed by that of empty cells."""
        ground, text = self.background_colors[1], Color.parse(tints(self.app)["text"])
        mixed = ground.ansi is None and text.ansi is None
        middle = ground.blend(text, 0.1) if mixed else Color.parse("#303030")
        ends = [Color.parse(with_contrast(colour, (middle.hex,), LINE)) for colour in (BELOW, ABOVE)]
        styles = []
        for level in range(-LEVELS, LEVELS + 1):
            colour = middle.blend(ends[level > 0], abs(level) / LEVELS)
            sign = colour.blend(colour.get_contrast_text(1.0), 0.5)
            styles.append(Style(color=sign.hex, bgcolor=colour.hex))
        return [*styles, self.base]

    def _legend(self, largest: float, table: Sequence[Style]) -> Strip:
        dim = self.ink(tints(self.app)["dim"])
        scale = [
            Segment("−" if level <= -SIGN_LEVEL else "+" if level >= SIGN_LEVEL else " ", table[level + LEVELS])
            for level in range(-LEVELS, LEVELS + 1)
        ]
        low, high = (f"−{short_number(largest)} ", f" +{short_number(largest)}") if largest else ("", " all 0")
        parts = [Segment(" " * self.label_width + low, dim), *scale, Segment(high, dim)]
        return Strip(parts).adjust_cell_length(self.size.width, self.base)

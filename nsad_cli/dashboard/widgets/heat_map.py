"""Numbers by layer over steps: colours that diverge around 0, with a sign where the number is large."""

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
from nsad_cli.dashboard.themes import LINE, on, tints
from nsad_cli.dashboard.widgets.step_plot import StepPlot, segments

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVELS = 8
"""Steps of colour on each side of 0."""
SIGN_LEVEL = 2
"""From this level on a cell has a sign too."""
BELOW, ABOVE = "#56B4E9", "#E69F00"
"""Okabe and Ito's blue and orange: people of every colour vision tell them apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A row: the layer's number and what it told."""

    number: int
    series: Series


class HeatMap(StepPlot):
    """A row a layer, the first at the top; where there is no room, neighbours share one and the strongest is shown."""

    layer_curves: Sequence[Layer] = ()
    selected_row: int | None = None
    """The row under the last click."""

    def show(self, layers: Sequence[Layer]) -> None:
        """Draw these, in their order."""
        self.layer_curves = layers
        self.changed()

    @property
    def rows(self) -> int:
        """Without the axis and the legend."""
        return max(self.size.height - 2, 1)

    @property
    def layers_per_row(self) -> int:
        """How many layers share a row."""
        return max(1, -(-len(self.layer_curves) // self.rows))

    def row_layers(self, row: int) -> Sequence[Layer]:
        """The layers in a row of the picture."""
        return self.layer_curves[row * self.layers_per_row : (row + 1) * self.layers_per_row]

    def paint(self) -> list[Strip]:
        """Every line: the layers, steps, colours."""
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
        """What each cell shows [rows, c]: the value farthest from 0 of its steps and layers."""
        first, last = self.viewport.bounds
        cell_values = np.full((rows, self.columns), np.nan)
        for place, layer in enumerate(self.layer_curves):
            columns = decimate(layer.series, first, last, self.columns)
            value = np.where(np.abs(columns.low) > np.abs(columns.high), columns.low, columns.high)
            measured = np.flatnonzero(~np.isnan(value))
            if not len(measured):
                continue
            # A value holds until the next one is measured; after the last one nothing is known.
            until = self.columns if columns.after is not None else measured[-1] + 1
            held = measured.searchsorted(np.arange(until), "right") - 1
            value[:until] = np.where(held >= 0, value[measured[held]], np.nan)
            value[columns.nonfinite & np.isnan(columns.low)] = np.nan
            row = cell_values[place // self.layers_per_row]
            row[:] = np.where(np.isnan(row) | (np.abs(value) > np.abs(row)), value, row)
        return cell_values

    def _styles(self) -> list[Style]:
        """Of the levels from the lowest up, and of what is not known."""
        ground, text = self.background_colors[1], Color.parse(tints(self.app)["text"])
        mixed = ground.ansi is None and text.ansi is None
        middle = ground.blend(text, 0.1) if mixed else Color.parse("#303030")
        ends = [Color.parse(on(colour, (middle.hex,), LINE)) for colour in (BELOW, ABOVE)]
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

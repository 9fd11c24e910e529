"""Line chart of curves over steps, drawn in braille dots; each curve has a glyph in addition to its colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from nsad_cli.dashboard.axis_ticks import labels, log_ticks, ticks
from nsad_cli.dashboard.live.event_log import MAX_NUMBER
from nsad_cli.dashboard.live.series import CurveColumns, Series, decimate
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.braille import BLANK, braille_cells, column_spans
from nsad_cli.dashboard.widgets.step_plot import StepPlot, segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GLYPHS_PER_CURVE = 4
"""How often a line shows its glyph, so that it can be identified without colour."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A curve: its name, points, glyph and colour."""

    name: str
    series: Series
    glyph: str
    colour: str
    marked: bool = False
    """Whether each point shows the glyph, for metrics that are measured rarely (the held-out loss)."""
    background: Series | None = None
    """The raw values, drawn dim behind a smoothed line."""


class LineChart(StepPlot):
    """Several curves on one scale, which is fitted to the visible values."""

    logarithmic = False
    curves: Sequence[Curve] = ()

    def show(self, curves: Sequence[Curve]) -> None:
        """Show these curves."""
        self.curves = curves
        self.changed()

    def paint(self) -> list[Strip]:
        """Draw the curves and the axis."""
        decimated = self._decimated()
        scale = self._scale([found for parts in decimated for found in parts])
        max_ticks = max(self.rows // 4, 2)
        values = log_ticks(*scale, max_ticks) if self.logarithmic else ticks(*scale, max_ticks)
        names = labels(values, logarithmic=self.logarithmic)
        width = max(4, *(len(name) for name in names)) + 1
        if width != self.label_width:  # the labels change the width left for the curves
            self.label_width = width
            decimated = self._decimated()
        return self._lines(decimated, scale, dict(zip(values, names, strict=True)))

    def _decimated(self) -> list[list[CurveColumns]]:
        """Return each curve's columns: its background, if any, then its line."""
        first, last = self.viewport.bounds
        return [
            [
                decimate(series, first, last, 2 * self.columns, positive=self.logarithmic)
                for series in (curve.background, curve.series)
                if series is not None
            ]
            for curve in self.curves
        ]

    def _scale(self, found: Sequence[CurveColumns]) -> tuple[float, float]:
        """Return the range of the visible values, with a margin."""
        lows = np.concatenate([columns.low for columns in found]) if found else np.empty(0)
        highs = np.concatenate([columns.high for columns in found]) if found else np.empty(0)
        if not np.isfinite(lows).any():
            return (0.1, 1.0) if self.logarithmic else (0.0, 1.0)
        low, high = float(np.nanmin(lows)), float(np.nanmax(highs))
        if self.logarithmic:
            return (low, high) if high > low * 1.01 else (low / 1.5, high * 1.5)
        distinct = high - low > max(1e-9 * max(abs(high), abs(low)), 1 / MAX_NUMBER)
        margin = (high - low) * 0.02 if distinct else max(abs(high) * 0.1, 1e-6)
        return (low - margin if low < 0 or low - margin > 0 else 0.0), high + margin

    def _row(self, value: float, scale: tuple[float, float]) -> int:
        bottom, top = np.log10(scale) if self.logarithmic else scale
        share = (top - (np.log10(value) if self.logarithmic else value)) / (top - bottom)
        return int(np.clip(np.rint(share * (self.rows * 4 - 1)), 0, self.rows * 4 - 1)) // 4

    # --- drawing --------------------------------------------------------------------------------------------------

    def _lines(
        self, decimated: list[list[CurveColumns]], scale: tuple[float, float], names: dict[float, str]
    ) -> list[Strip]:
        colours = tints(self.app)
        codes = np.full((self.rows, self.columns), ord(" "), np.uint32)
        styles = np.zeros((self.rows, self.columns), np.intp)
        table = [self.ink(colours["dim"], 0.6)]
        rows = {self._row(value, scale): name for value, name in names.items()}
        codes[list(rows), :] = ord("┈")
        self._draw_broken(decimated, codes, styles, table)
        for curve, parts in zip(self.curves, decimated, strict=True):
            if len(parts) > 1:
                self._draw(parts[0], scale, codes, styles, table, self.ink(curve.colour, 0.65))
        background = len(table)
        glyph_positions: list[tuple[int, int, str, int]] = []
        for order, (curve, parts) in enumerate(zip(self.curves, decimated, strict=True)):
            self._draw(parts[-1], scale, codes, styles, table, self.ink(curve.colour), over=background)
            glyph_positions += self._glyph_positions(order, parts[-1], scale, len(table) - 1)
        for row, column, glyph, style in glyph_positions:
            codes[row, column], styles[row, column] = ord(glyph), style
        self._draw_cursor(codes, styles, table)
        label = self.ink(colours["dim"])
        lines = [
            [Segment(f"{rows.get(y, ''):>{self.label_width - 1}} ", label), *segments(codes[y], styles[y], table)]
            for y in range(self.rows)
        ]
        return [*(Strip(line, self.size.width) for line in lines), self.axis()]

    def _draw(
        self,
        columns: CurveColumns,
        scale: tuple[float, float],
        codes: NDArray[np.uint32],
        styles: NDArray[np.intp],
        table: list[Style],
        ink: Style,
        *,
        over: int = 0,
    ) -> None:
        """Merge a line's dots with those already drawn, except that cells with a style below `over` are replaced."""
        dots = braille_cells(*column_spans(columns, scale, self.rows * 4, log=self.logarithmic), self.rows)
        drawn = dots > 0
        shared = drawn & (codes > BLANK) & (styles >= over)
        codes[drawn] = np.where(shared, codes | dots, dots)[drawn]
        styles[drawn] = len(table)
        table.append(ink)

    def _draw_broken(
        self,
        decimated: list[list[CurveColumns]],
        codes: NDArray[np.uint32],
        styles: NDArray[np.intp],
        table: list[Style],
    ) -> None:
        """Draw × at the lower edge for values that are not finite (on a logarithmic axis: not above 0)."""
        places = [int(place) // 2 for parts in decimated for place in np.flatnonzero(parts[-1].nonfinite)]
        codes[-1, places], styles[-1, places] = ord("×"), len(table)
        table.append(self.ink(tints(self.app)["warning"]))

    def _glyph_positions(
        self, order: int, columns: CurveColumns, scale: tuple[float, float], style: int
    ) -> list[tuple[int, int, str, int]]:
        """Return the positions of a curve's glyph: at each point if marked, else at the end and at intervals."""
        curve, drawn = self.curves[order], np.flatnonzero(~np.isnan(columns.last))
        if not len(drawn):
            return []
        if curve.marked and len(drawn) <= self.columns // 2:
            places = drawn
        else:
            shares = (np.arange(GLYPHS_PER_CURVE) + (order + 1) / (len(self.curves) + 1)) / GLYPHS_PER_CURVE
            places = np.unique([*drawn[(shares * (len(drawn) - 1)).astype(int)], drawn[-1]])
            places = places if len(self.curves) > 1 else drawn[-1:]
        return [(self._row(float(columns.last[place]), scale), int(place) // 2, curve.glyph, style) for place in places]

    def _draw_cursor(self, codes: NDArray[np.uint32], styles: NDArray[np.intp], table: list[Style]) -> None:
        """Draw a vertical line at the cursor's step; cells that are not empty are reversed instead."""
        if self.cursor is None or not 0 <= (column := self.scale.column(self.cursor)) < self.columns:
            return
        colours = tints(self.app)
        empty = np.isin(codes[:, column], (ord(" "), ord("┈")))
        codes[empty, column] = ord("│")
        styles[empty, column] = len(table)
        table.append(self.ink(colours["accent"]))
        for row in np.flatnonzero(~empty):
            table.append(table[styles[row, column]] + Style(reverse=True))
            styles[row, column] = len(table) - 1

"""What a picture over steps says in words: each curve's glyph, name and value, at the cursor or the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.style import Style
from rich.text import Text

from nsad_cli.dashboard.axis_ticks import full_number, short_count, short_number
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.heat_map import HeatMap
from nsad_cli.dashboard.widgets.line_chart import Chart, Curve
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.dashboard.widgets.step_plot import StepPlot

FIXED = "\u00a0"
"""A space at which no line is broken."""


def legend(plot: StepPlot, smoothing: float, owner: str) -> Text:
    """The cursor's step, the values, and how they are shown; whose a heat map is where there are several runs."""
    tint, text = tints(plot.app), Text(overflow="ellipsis")
    if plot.cursor is not None:
        text.append(f"step {full_number(plot.cursor)}  ", plot.ink(tint["accent"]) + Style(bold=True))
    state = []
    if isinstance(plot, Chart):
        text.append_text(chart_legend(plot))
        state += [f"smoothed {smoothing:g}"] if smoothing else []
        state += ["log axis"] if plot.logarithmic else []
        state += [excluded] if (excluded := excluded_values(plot)) else []
    elif isinstance(plot, HeatMap):
        text.append_text(heat_legend(plot))
        state += [owner] if owner else []
    if not plot.viewport.shows_all:
        first, last = plot.viewport.bounds
        state.append(f"steps {full_number(round(first))} to {full_number(round(last))}")
    return text.append(" · ".join(state), plot.ink(tint["dim"]))


def chart_legend(chart: Chart) -> Text:
    """A curve after the other, unbroken within."""
    text = Text()
    for curve in chart.curves:
        text.append(f"{curve.glyph}{FIXED}", curve.colour)
        text.append(escape_controls(curve.name).replace(" ", FIXED) + FIXED)
        text.append(curve_value(curve, chart).replace(" ", FIXED), "bold")
        text.append("  ")
    return text


def curve_value(curve: Curve, chart: Chart) -> str:
    """The newest value; at the cursor the nearest one, with the range where its column holds more."""
    series = curve.series
    if chart.cursor is None:
        return short_number(float(series.values[-1]))
    place = series.nearest(chart.cursor)
    if place is None:
        return ""
    text = short_number(float(series.values[place]))
    first, last = chart.viewport.bounds
    half = (last - first) / chart.columns / 2
    column = series.between(chart.cursor - half, chart.cursor + half).values
    finite = column[np.isfinite(column)]
    if len(finite) > 1:
        return f"{text} ({short_number(float(finite.min()))} … {short_number(float(finite.max()))})"
    return text if series.steps[place] == chart.cursor else f"{text} (step {full_number(series.steps[place])})"


def excluded_values(chart: Chart) -> str:
    """What the × below the curves stand for."""
    first, last = chart.viewport.bounds
    parts = [curve.series.between(first, last).values for curve in chart.curves]
    excluded = sum(int(np.count_nonzero(~(part > 0) if chart.logarithmic else np.isnan(part))) for part in parts)
    reason = "not above 0" if chart.logarithmic else "not finite"
    return f"× {short_count(excluded)} value{'s' * (excluded > 1)} {reason}" if excluded else ""


def heat_legend(heat: HeatMap) -> Text:
    """The layers under the last click, or the three farthest from 0: at the cursor, or at the newest step in sight."""
    at = heat.viewport.bounds[1] if heat.cursor is None else heat.cursor
    found = []
    for layer in heat.layer_curves if heat.selected_row is None else heat.row_layers(heat.selected_row):
        place = layer.series.nearest(at)
        if place is not None and np.isfinite(value := float(layer.series.values[place])):
            found.append((abs(value), layer.number, "+" if value > 0 else "−"))
    parts = [f"layer {layer} {sign}{short_number(size)}" for size, layer, sign in sorted(found, reverse=True)[:3]]
    return Text(f"{'strongest: ' if heat.selected_row is None else ''}{', '.join(parts)}  " if parts else "")

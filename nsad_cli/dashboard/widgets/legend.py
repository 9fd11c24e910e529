"""Legend of a plot: each curve's glyph, name, and value at the cursor or at the latest step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.style import Style
from rich.text import Text

from nsad_cli.dashboard.axis_ticks import full_number, short_count, short_number
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.heat_map import HeatMap
from nsad_cli.dashboard.widgets.line_chart import Curve, LineChart
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.dashboard.widgets.step_plot import StepPlot

NBSP = "\u00a0"
"""No-break space."""


def legend(plot: StepPlot, smoothing: float, owner: str) -> Text:
    """Return the legend: the cursor's step, the values, and the display settings.

    Args:
        plot: The plot.
        smoothing: The decay factor of the smoothing; 0 if off.
        owner: Text about the run of a heat map; empty if there is only one run.
    """
    tint, text = tints(plot.app), Text(overflow="ellipsis")
    if plot.cursor is not None:
        text.append(f"step {full_number(plot.cursor)}  ", plot.ink(tint["accent"]) + Style(bold=True))
    state = []
    if isinstance(plot, LineChart):
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


def chart_legend(chart: LineChart) -> Text:
    """Return the curves' legend entries, without line breaks within an entry."""
    text = Text()
    for curve in chart.curves:
        text.append(f"{curve.glyph}{NBSP}", curve.colour)
        text.append(escape_controls(curve.name).replace(" ", NBSP) + NBSP)
        text.append(curve_value(curve, chart).replace(" ", NBSP), "bold")
        text.append("  ")
    return text


def curve_value(curve: Curve, chart: LineChart) -> str:
    """Return the latest value, or the one nearest to the cursor with the range of the cursor's column."""
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


def excluded_values(chart: LineChart) -> str:
    """Return the count of values that are drawn as × below the curves."""
    first, last = chart.viewport.bounds
    parts = [curve.series.between(first, last).values for curve in chart.curves]
    excluded = sum(int(np.count_nonzero(~(part > 0) if chart.logarithmic else np.isnan(part))) for part in parts)
    reason = "not above 0" if chart.logarithmic else "not finite"
    return f"× {short_count(excluded)} value{'s' * (excluded > 1)} {reason}" if excluded else ""


def heat_legend(heat: HeatMap) -> Text:
    """Return the values of the clicked layers, or of the three layers farthest from 0.

    The values are taken at the cursor, or at the last visible step.
    """
    at = heat.viewport.bounds[1] if heat.cursor is None else heat.cursor
    found = []
    for layer in heat.layer_curves if heat.selected_row is None else heat.row_layers(heat.selected_row):
        place = layer.series.nearest(at)
        if place is not None and np.isfinite(value := float(layer.series.values[place])):
            found.append((abs(value), layer.number, "+" if value > 0 else "−"))
    parts = [f"layer {layer} {sign}{short_number(size)}" for size, layer, sign in sorted(found, reverse=True)[:3]]
    return Text(f"{'strongest: ' if heat.selected_row is None else ''}{', '.join(parts)}  " if parts else "")

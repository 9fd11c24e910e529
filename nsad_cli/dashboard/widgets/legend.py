"""What a picture over steps says in words: each curve's glyph, name and value, at the cursor or the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.style import Style
from rich.text import Text

from nsad_cli.dashboard.axis_ticks import count, exactly, number
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.heat_map import HeatMap
from nsad_cli.dashboard.widgets.line_chart import Chart, Curve
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.dashboard.widgets.step_plot import StepPlot

FIXED = "\u00a0"
"""A space at which no line is broken."""


def legend(plane: StepPlot, smoothing: float, whose: str) -> Text:
    """The cursor's step, the values, and how they are shown; whose a heat map is where there are several runs."""
    tint, text = tints(plane.app), Text(overflow="ellipsis")
    if plane.cursor is not None:
        text.append(f"step {exactly(plane.cursor)}  ", plane.ink(tint["accent"]) + Style(bold=True))
    state = []
    if isinstance(plane, Chart):
        text.append_text(chart_legend(plane))
        state += [f"smoothed {smoothing:g}"] if smoothing else []
        state += ["log axis"] if plane.logarithmic else []
        state += [missing] if (missing := left_out(plane)) else []
    elif isinstance(plane, HeatMap):
        text.append_text(heat_legend(plane))
        state += [whose] if whose else []
    if not plane.sight.whole:
        first, last = plane.sight.bounds
        state.append(f"steps {exactly(round(first))} to {exactly(round(last))}")
    return text.append(" · ".join(state), plane.ink(tint["dim"]))


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
        return number(float(series.values[-1]))
    place = series.nearest(chart.cursor)
    if place is None:
        return ""
    told = number(float(series.values[place]))
    first, last = chart.sight.bounds
    half = (last - first) / chart.columns / 2
    column = series.between(chart.cursor - half, chart.cursor + half).values
    finite = column[np.isfinite(column)]
    if len(finite) > 1:
        return f"{told} ({number(float(finite.min()))} … {number(float(finite.max()))})"
    return told if series.steps[place] == chart.cursor else f"{told} (step {exactly(series.steps[place])})"


def left_out(chart: Chart) -> str:
    """What the × below the curves stand for."""
    first, last = chart.sight.bounds
    parts = [curve.series.between(first, last).values for curve in chart.curves]
    missing = sum(int(np.count_nonzero(~(part > 0) if chart.logarithmic else np.isnan(part))) for part in parts)
    reason = "not above 0" if chart.logarithmic else "not finite"
    return f"× {count(missing)} value{'s' * (missing > 1)} {reason}" if missing else ""


def heat_legend(heat: HeatMap) -> Text:
    """The layers under the last click, or the three farthest from 0: at the cursor, or at the newest step in sight."""
    at = heat.sight.bounds[1] if heat.cursor is None else heat.cursor
    found = []
    for layer in heat.stack if heat.pointed is None else heat.row_layers(heat.pointed):
        place = layer.series.nearest(at)
        if place is not None and np.isfinite(value := float(layer.series.values[place])):
            found.append((abs(value), layer.number, "+" if value > 0 else "−"))
    told = [f"layer {layer} {sign}{number(size)}" for size, layer, sign in sorted(found, reverse=True)[:3]]
    return Text(f"{'strongest: ' if heat.pointed is None else ''}{', '.join(told)}  " if told else "")

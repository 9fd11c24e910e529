"""Charts drawn as inline SVG: colours are CSS variables of the page, and each has a title and a description."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from nsad_cli.dashboard.axis_ticks import labels, ticks
from nsad_cli.report.charts import BarChart, ForestPlot, LineChart
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.report.charts import Chart, Series

WIDTH = 440
"""The width of every drawing, in its own units; the page scales it, so that text stays legible at 400 pixels."""
COLOURS = 6
ROW = 22
LABEL_CHARS, NUMBER_CHARS = 20, 20
LETTER = 6.9
"""The mean width of a letter at the size of labels."""


def draw(chart: Chart, key: str) -> str:
    """Draw a chart.

    Args:
        chart: The chart.
        key: A name that is unique in the page, for the ids of its title and description.

    Returns:
        The SVG element.
    """
    if isinstance(chart, LineChart):
        height, body = _lines(chart)
    elif isinstance(chart, ForestPlot):
        height, body = _forest(chart)
    else:
        height, body = _bars(chart)
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {height:g}" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escaped(chart.title)}</title><desc id="{key}-d">{escaped(chart.describe())}</desc>'
        f"{''.join(body)}</svg>"
    )


def escaped(text: str) -> str:
    """Escape a text for HTML and SVG, control characters included."""
    return html.escape(escape_controls(text))


def cut(text: str, chars: int) -> str:
    """Shorten a text to one line of so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= chars else line[: chars - 1] + "…"


def _text(x: float, y: float, text: str, anchor: str = "start", style: str = "t") -> str:
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}"{place}>{escaped(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _axis_labels(values: Sequence[float], *, percents: bool) -> list[str]:
    return [f"{100 * value:.6g}" for value in values] if percents else labels(list(values))


def _lines(chart: LineChart) -> tuple[float, list[str]]:
    left, right, height = 50.0, WIDTH - 12.0, 250.0
    legend, top = _legend(chart.series)
    bottom = height - 40
    xs = [x for item in chart.series for x, _ in item.points]
    ys = [
        y for item in chart.series for y in (*(y for _, y in item.points), *(v for _, *both in item.band for v in both))
    ]
    low, high = min(ys), max(ys)
    room = (high - low) * 0.06 or max(abs(high) * 0.1, 0.01)
    at_zero = low >= 0 and low < high / 3
    low, high = 0.0 if at_zero else low - room, high + room
    across, up = _scale(min(xs), max(xs), left + 4, right - 6), _scale(low, high, bottom, top)
    body = [*legend]
    marks = ticks(low, high, 5)
    for value, name in zip(marks, _axis_labels(marks, percents=chart.percent), strict=True):
        body += [_rule(left, up(value), right, up(value), "grid"), _text(left - 6, up(value) + 4, name, "end")]
    marks = ticks(min(xs), max(xs), 7)
    whole = [value for value in marks if value == round(value)] or marks
    for value, name in zip(whole, labels(whole), strict=True):
        body += [_rule(across(value), bottom, across(value), bottom + 4, "axis")]
        body.append(_text(across(value), bottom + 17, name, "middle"))
    body.append(_rule(left, bottom, right, bottom, "axis"))
    unit = ", %" if chart.percent else ""
    body.append(_text((left + right) / 2, height - 6, chart.x_label, "middle", "t muted"))
    body.append(_text(4, top - 8, f"{chart.y_label}{unit}", "start", "t muted"))
    for place, item in enumerate(chart.series):
        body += _series(item, place % COLOURS + 1, across, up)
    return height, body


def _legend(series: Sequence[Series]) -> tuple[list[str], float]:
    """Lay out the legend in rows; return it with the top of the plot below it."""
    body, x, y = [], 4.0, 14.0
    for place, item in enumerate(series):
        name = cut(item.name, 40)
        width = 30 + LETTER * len(name)
        if x > 4 and x + width > WIDTH:
            x, y = 4.0, y + 18
        tone = place % COLOURS + 1
        body.append(
            f'<circle class="fill s{tone}" cx="{x + 10:.1f}" cy="{y - 4:.1f}" r="4"/>'
            if item.dots
            else _rule(x, y - 4, x + 20, y - 4, f"line s{tone}")
        )
        body.append(_text(x + 25, y, name))
        x += width + 12
    return body, y + 28


def _series(item: Series, tone: int, across: Callable[[float], float], up: Callable[[float], float]) -> list[str]:
    body = []
    if item.band:
        upper = [f"{across(x):.1f},{up(high):.1f}" for x, _, high in item.band]
        lower = [f"{across(x):.1f},{up(low):.1f}" for x, low, _ in reversed(item.band)]
        body.append(f'<polygon class="band s{tone}" points="{" ".join(upper + lower)}"/>')
    places = [(across(x), up(y)) for x, y in item.points]
    if item.dots or len(places) == 1:
        body += [f'<circle class="fill s{tone}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in places]
    else:
        body.append(f'<polyline class="line s{tone}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
    return body


def _forest(chart: ForestPlot) -> tuple[float, list[str]]:
    names = [cut(row.label, LABEL_CHARS) for row in chart.rows]
    numbers = [chart.shown(row) for row in chart.rows]
    left = 18 + LETTER * max(map(len, names), default=1)
    right = WIDTH - 8 - LETTER * max(map(len, numbers), default=1)
    top, bottom = 8.0, 8.0 + ROW * len(chart.rows)
    ends = [v for row in chart.rows for v in (row.value, row.low, row.high) if v is not None]
    ends += [chart.reference[0]] if chart.reference else []
    low, high = min(ends), max(ends)
    room = (high - low) * 0.05 or 0.05
    low, high = (low - room, high + room) if chart.signed else (max(0.0, low - room), min(1.0, high + room))
    across = _scale(low, high, left + 4, right - 4)
    body = []
    marks = ticks(low, high, 4)
    for value, name in zip(marks, _axis_labels(marks, percents=True), strict=True):
        body.append(_rule(across(value), top, across(value), bottom, "grid"))
        body.append(_text(across(value), bottom + 16, name, "middle"))
    if chart.reference:
        place = across(chart.reference[0])
        body.append(_rule(place, top, place, bottom, "reference"))
    for number, (row, name, shown) in enumerate(zip(chart.rows, names, numbers, strict=True)):
        y, tone = top + ROW * (number + 0.5), row.group % COLOURS + 1
        body += [_text(4, y + 4, name), _text(WIDTH - 4, y + 4, shown, "end")]
        if row.low is not None and row.high is not None:
            body.append(_rule(across(row.low), y, across(row.high), y, f"line forest s{tone}"))
            body += [
                _rule(across(end), y - 4, across(end), y + 4, f"line forest s{tone}") for end in (row.low, row.high)
            ]
        body.append(
            f'<rect class="fill s{tone}" x="{across(row.value) - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
        )
    unit = "percentage points" if chart.signed else "%"
    note = f"{chart.x_label}, {unit}" + (f"; dashed: {chart.reference[1]}" if chart.reference else "")
    body.append(_text(WIDTH / 2, bottom + 36, cut(note, 68), "middle", "t muted"))
    return bottom + 44, body


def _bars(chart: BarChart) -> tuple[float, list[str]]:
    names = [cut(bar.label, LABEL_CHARS) for bar in chart.bars]
    numbers = [cut(bar.text, NUMBER_CHARS) for bar in chart.bars]
    left = 12 + LETTER * max(map(len, names), default=1)
    right = WIDTH - 10 - LETTER * max(map(len, numbers), default=1)
    body = []
    for number, (bar, name, shown) in enumerate(zip(chart.bars, names, numbers, strict=True)):
        y, length = 6 + ROW * number, (right - left) * min(max(bar.share, 0.0), 1.0)
        body.append(
            f'<rect class="track" x="{left:.1f}" y="{y + 3:.1f}" width="{right - left:.1f}" height="{ROW - 6}"/>'
        )
        body.append(
            f'<rect class="fill {bar.tone}" x="{left:.1f}" y="{y + 3:.1f}" width="{length:.1f}" height="{ROW - 6}"/>'
        )
        body += [_text(4, y + 15, name), _text(WIDTH - 4, y + 15, shown, "end")]
    return 12 + ROW * len(chart.bars), body

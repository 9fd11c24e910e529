"""Conversion of the selected metrics to a chart's curves or a heat map's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.metrics import HELD_OUT, layer_of
from nsad_cli.dashboard.themes import GLYPHS
from nsad_cli.dashboard.widgets.heat_map import Layer
from nsad_cli.dashboard.widgets.line_chart import Curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.dashboard.live.event_logs import FollowedLogs
    from nsad_cli.dashboard.live.smoothing import AverageCache
    from nsad_cli.dashboard.screens.curves_selection import Source


def curves(
    shown: Sequence[Source], colours: Sequence[str], smoothing: float, averages: AverageCache, logs: FollowedLogs
) -> list[Curve]:
    """Return the smoothed curves with their glyphs and colours.

    The held-out loss is not smoothed, because it is measured rarely; its points are marked instead.
    """
    found = []
    for place, source in enumerate(shown):
        glyph, colour = GLYPHS[place % len(GLYPHS)], colours[place % len(colours)]
        if source.metric == HELD_OUT or not smoothing:
            found.append(Curve(source.title, source.series, glyph, colour, source.metric == HELD_OUT))
        else:
            own = source.run, source.stage, source.metric
            average = averages.average(*own, source.series, smoothing, logs[source.run])
            found.append(Curve(source.title, average, glyph, colour, background=source.series))
    return found


def layers(shown: Sequence[Source]) -> list[Layer]:
    """Return the layers of a heat map, in order of layer number."""
    found = [Layer(layer_of(source.metric)[0], source.series) for source in shown]
    return sorted(found, key=lambda layer: layer.number)

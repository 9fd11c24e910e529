"""Selection state of the curves screen: stages, a stage's charts, a chart's curves, and their points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.dashboard.export import ExportTable
from nsad_cli.dashboard.live.event_log import EventLogReader
from nsad_cli.dashboard.live.metrics import (
    ChartSpec,
    charts,
    charts_per_metric,
    comparison_charts,
    latest_value,
    metric_title,
)
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.dashboard.live.series import Series

ALL = "all stages"
CHUNK_POINTS = 4096
"""Points that are converted to table rows at once."""
NamedLogs = Sequence[tuple[str, EventLogReader]]
"""Logs with their runs' names, at least one; the selected run is the first."""


@dataclass(frozen=True, slots=True)
class Source:
    """A curve's title, origin and points."""

    title: str
    run: str
    stage: str
    metric: str
    series: Series


def stages_with_metrics(runs: NamedLogs) -> list[str]:
    """Return the stages with metrics of any run, preceded by ALL if a single run's stages can be compared."""
    found = list(dict.fromkeys(stage for _, log in runs for stage in log.stages if log.metrics(stage)))
    compared = len(runs) == 1 and len(found) > 1 and comparison_charts(runs[0][1], found)
    return [ALL, *found] if compared else found


def default_stage(runs: NamedLogs, stages: Sequence[str]) -> str:
    """Return the stage that logs now, or the last one with a loss."""
    log = next((log for _, log in runs if log.latest_stage in stages), runs[0][1])
    if log.latest_stage in stages and "loss" in log.metrics(str(log.latest_stage)):
        return str(log.latest_stage)
    trained = [stage for stage in stages if any("loss" in log.metrics(stage) for _, log in runs)]
    return [*stages[:1], *([str(log.latest_stage)] if log.latest_stage in stages else []), *trained][-1]


def stage_charts(runs: NamedLogs, stage: str, stages: Sequence[str]) -> list[ChartSpec]:
    """Return a stage's charts; with several runs, one chart per metric."""
    if stage == ALL:
        return comparison_charts(runs[0][1], stages[1:])
    log = next((log for _, log in runs if log.metrics(stage)), runs[0][1])
    return charts(log, stage) if len(runs) == 1 else charts_per_metric(charts(log, stage))


def sources(runs: NamedLogs, stage: str, stages: Sequence[str], chart: ChartSpec, run_index: int = 0) -> list[Source]:
    """Return a chart's curves; a heat map shows a single run, the one with index `run_index`."""
    return [
        Source(name if len(runs) > 1 else own if stage == ALL else metric_title(metric), name, own, metric, series)
        for name, log in (runs[run_index : run_index + 1] if chart.layered else runs)
        for own in (stages[1:] if stage == ALL else [stage])
        for metric in chart.metrics
        if len(series := log.series(own, metric))
    ]


class Selection:
    """The user's choice of stage, chart and heat-map run, and its result for the current logs."""

    def __init__(self) -> None:
        self.chosen_stage: str | None = None
        """The stage that the user chose; None follows the latest stage."""
        self.stage = ""
        """The visible stage."""
        self.stages: list[str] = []
        self.charts: list[ChartSpec] = []
        self.index = 0
        """Index of the visible chart in the list."""
        self._title = ""
        self._runs: NamedLogs = ()
        self._run_index = 0

    def update(self, runs: NamedLogs) -> bool:
        """Apply the choice to these logs; return whether there is anything to show."""
        stages = stages_with_metrics(runs) if runs else []
        if not stages:
            return False
        self._runs, self.stages = runs, stages
        self.stage = self.chosen_stage if self.chosen_stage in stages else default_stage(runs, stages)
        self.charts = stage_charts(runs, self.stage, stages)
        titles = [chart.title for chart in self.charts]
        self.index = titles.index(self._title) if self._title in titles else 0
        return True

    @property
    def chart(self) -> ChartSpec:
        """The visible chart."""
        return self.charts[self.index]

    @property
    def owner(self) -> str:
        """Text about the run of a heat map, for the legend; empty if there is only one run."""
        if len(self._runs) < 2:
            return ""
        return f"{escape_controls(self._runs[self._run_index % len(self._runs)][0])} only, n: next run"

    def sources(self) -> list[Source]:
        """Return the visible chart's curves, as far as the logs have been read."""
        run_index = self._run_index % len(self._runs)
        return sources(self._runs, self.stage, stages_with_metrics(self._runs), self.chart, run_index)

    def row(self, index: int) -> tuple[str, str]:
        """Return a chart's title and its latest value."""
        chart = self.charts[index]
        return escape_controls(chart.title), "" if self.stage == ALL else latest_value(
            self._runs[0][1], self.stage, chart
        )

    def choose_chart(self, index: int) -> bool:
        """Choose a chart by its index in the list; return whether the chart has changed."""
        if index == self.index or index >= len(self.charts):
            return False
        self._title = self.charts[index].title
        return True

    def move_stage(self, runs: NamedLogs, by: int) -> bool:
        """Choose the next or previous stage; return whether there are any stages."""
        stages = stages_with_metrics(runs) if runs else []
        if stages:
            current = stages.index(self.stage) if self.stage in stages else 0
            self.chosen_stage = stages[max(0, min(current + by, len(stages) - 1))]
        return bool(stages)

    def next_run(self) -> bool:
        """Choose the next run for the heat map; return False if there is no other run or no heat map is visible."""
        if not self.charts or not self.chart.layered or len(self._runs) < 2:
            return False
        self._run_index = (self._run_index + 1) % len(self._runs)
        return True


def table(shown: Sequence[Source], first: float, last: float) -> ExportTable | None:
    """Return all points of the curves from one step to another, copied because the logs may grow."""
    parts = [(source, source.series.between(first, last).copy()) for source in shown]

    def rows() -> Iterator[Sequence[object]]:
        for source, series in parts:
            for start in range(0, len(series), CHUNK_POINTS):
                own = slice(start, start + CHUNK_POINTS)
                points = zip(*(a[own].tolist() for a in (series.steps, series.times, series.values)), strict=True)
                for step, moment, value in points:
                    number = int(step) if step == int(step) else step
                    yield source.run, source.stage, source.metric, number, moment, value if math.isfinite(value) else ""

    return ExportTable(("run", "stage", "metric", "step", "time", "value"), rows(), detached=True) if parts else None

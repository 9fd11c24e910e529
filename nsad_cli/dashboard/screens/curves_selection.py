"""What of some runs' logs the curves screen shows: stages, a stage's figures, a figure's curves, and their points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.live.event_log import EventLog
from nsad_cli.dashboard.live.metrics import (
    MetricSpec,
    comparable_metrics,
    figures,
    latest_value,
    metric_title,
    separate_metrics,
)
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.dashboard.live.series import Series

ALL = "all stages"
CHUNK_POINTS = 4096
"""Points that become rows of a table at once."""
NamedLogs = Sequence[tuple[str, EventLog]]
"""Logs by their runs' names; that of the run looked at is the first, and there is one at least."""


@dataclass(frozen=True, slots=True)
class Source:
    """A curve's name, and where it comes from."""

    title: str
    run: str
    stage: str
    metric: str
    series: Series


def stages_with_metrics(runs: NamedLogs) -> list[str]:
    """Stages with numbers, of any run; ALL before them where a run's stages can be compared."""
    found = list(dict.fromkeys(stage for _, log in runs for stage in log.stages if log.metrics(stage)))
    compared = len(runs) == 1 and len(found) > 1 and comparable_metrics(runs[0][1], found)
    return [ALL, *found] if compared else found


def default_stage(runs: NamedLogs, stages: Sequence[str]) -> str:
    """The stage that tells something now, or the last one that had a loss."""
    log = next((log for _, log in runs if log.latest in stages), runs[0][1])
    if log.latest in stages and "loss" in log.metrics(str(log.latest)):
        return str(log.latest)
    trained = [stage for stage in stages if any("loss" in log.metrics(stage) for _, log in runs)]
    return [*stages[:1], *([str(log.latest)] if log.latest in stages else []), *trained][-1]


def figures_of(runs: NamedLogs, stage: str, stages: Sequence[str]) -> list[MetricSpec]:
    """What there is to see of a stage; of several runs each metric alone."""
    if stage == ALL:
        return comparable_metrics(runs[0][1], stages[1:])
    log = next((log for _, log in runs if log.metrics(stage)), runs[0][1])
    return figures(log, stage) if len(runs) == 1 else separate_metrics(figures(log, stage))


def sources(runs: NamedLogs, stage: str, stages: Sequence[str], figure: MetricSpec, layered: int = 0) -> list[Source]:
    """A figure's curves; a heat map shows one run alone, `layered` by its place."""
    return [
        Source(name if len(runs) > 1 else own if stage == ALL else metric_title(metric), name, own, metric, series)
        for name, log in (runs[layered : layered + 1] if figure.layered else runs)
        for own in (stages[1:] if stage == ALL else [stage])
        for metric in figure.metrics
        if len(series := log.series(own, metric))
    ]


class Selection:
    """The stage, the figure and the heat map's run that are chosen, and what they mean for the logs as they are."""

    def __init__(self) -> None:
        self.chosen_stage: str | None = None
        """The stage that the user chose; None follows the newest."""
        self.stage = ""
        """The visible stage."""
        self.stages: list[str] = []
        self.figures: list[MetricSpec] = []
        self.place = 0
        """The visible figure's place in the list."""
        self._title = ""
        self._runs: NamedLogs = ()
        self._run_place = 0

    def update(self, runs: NamedLogs) -> bool:
        """Apply the choice to these logs; whether there is anything to show."""
        stages = stages_with_metrics(runs) if runs else []
        if not stages:
            return False
        self._runs, self.stages = runs, stages
        self.stage = self.chosen_stage if self.chosen_stage in stages else default_stage(runs, stages)
        self.figures = figures_of(runs, self.stage, stages)
        titles = [figure.title for figure in self.figures]
        self.place = titles.index(self._title) if self._title in titles else 0
        return True

    @property
    def figure(self) -> MetricSpec:
        """The visible figure."""
        return self.figures[self.place]

    @property
    def owner(self) -> str:
        """What the legend says about the run of a heat map; empty if there is only one run."""
        if len(self._runs) < 2:
            return ""
        return f"{escape_controls(self._runs[self._run_place % len(self._runs)][0])} alone, n: the next run"

    def sources(self) -> list[Source]:
        """The visible figure's curves, as far as the logs are read."""
        run_place = self._run_place % len(self._runs)
        return sources(self._runs, self.stage, stages_with_metrics(self._runs), self.figure, run_place)

    def row(self, place: int) -> tuple[str, str]:
        """A figure's title and its latest value."""
        figure = self.figures[place]
        return escape_controls(figure.title), "" if self.stage == ALL else latest_value(
            self._runs[0][1], self.stage, figure
        )

    def choose_figure(self, place: int) -> bool:
        """Choose a figure by its place in the list; whether it is another one."""
        if place == self.place or place >= len(self.figures):
            return False
        self._title = self.figures[place].title
        return True

    def move_stage(self, runs: NamedLogs, by: int) -> bool:
        """Choose the next or previous stage; whether there is any."""
        stages = stages_with_metrics(runs) if runs else []
        if stages:
            current = stages.index(self.stage) if self.stage in stages else 0
            self.chosen_stage = stages[max(0, min(current + by, len(stages) - 1))]
        return bool(stages)

    def next_run(self) -> bool:
        """Choose the next run for the heat map; whether there is one, and a heat map is visible."""
        if not self.figures or not self.figure.layered or len(self._runs) < 2:
            return False
        self._run_place = (self._run_place + 1) % len(self._runs)
        return True


def table(shown: Sequence[Source], first: float, last: float) -> Data | None:
    """Every point of the curves from one step to another, copied: the logs may go on."""
    parts = [(source, source.series.between(first, last).copy()) for source in shown]

    def rows() -> Iterator[Sequence[object]]:
        for source, series in parts:
            for start in range(0, len(series), CHUNK_POINTS):
                own = slice(start, start + CHUNK_POINTS)
                points = zip(*(a[own].tolist() for a in (series.steps, series.times, series.values)), strict=True)
                for step, moment, value in points:
                    whole = int(step) if step == int(step) else step
                    yield source.run, source.stage, source.metric, whole, moment, value if math.isfinite(value) else ""

    return Data(("run", "stage", "metric", "step", "time", "value"), rows(), detached=True) if parts else None

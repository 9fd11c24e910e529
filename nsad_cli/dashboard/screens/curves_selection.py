"""What of some runs' logs the curves screen shows: stages, a stage's figures, a figure's curves, and their points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.live.event_log import EventLog
from nsad_cli.dashboard.live.metrics import MetricSpec, apart, every_stage, figures, named

if TYPE_CHECKING:
    from nsad_cli.dashboard.live.series import Series

ALL = "all stages"
PART = 4096
"""Points that become rows of a table at once."""
Runs = Sequence[tuple[str, EventLog]]
"""Logs by their runs' names; that of the run looked at is the first, and there is one at least."""


@dataclass(frozen=True, slots=True)
class Source:
    """A curve's name, and where it comes from."""

    title: str
    run: str
    stage: str
    metric: str
    series: Series


def told_stages(runs: Runs) -> list[str]:
    """Stages with numbers, of any run; ALL before them where a run's stages can be compared."""
    found = list(dict.fromkeys(stage for _, log in runs for stage in log.stages if log.metrics(stage)))
    compared = len(runs) == 1 and len(found) > 1 and every_stage(runs[0][1], found)
    return [ALL, *found] if compared else found


def newest_stage(runs: Runs, stages: Sequence[str]) -> str:
    """The stage that tells something now, or the last one that had a loss."""
    log = next((log for _, log in runs if log.latest in stages), runs[0][1])
    if log.latest in stages and "loss" in log.metrics(str(log.latest)):
        return str(log.latest)
    trained = [stage for stage in stages if any("loss" in log.metrics(stage) for _, log in runs)]
    return [*stages[:1], *([str(log.latest)] if log.latest in stages else []), *trained][-1]


def stage_figures(runs: Runs, stage: str, stages: Sequence[str]) -> list[MetricSpec]:
    """What there is to see of a stage; of several runs each metric alone."""
    if stage == ALL:
        return every_stage(runs[0][1], stages[1:])
    log = next((log for _, log in runs if log.metrics(stage)), runs[0][1])
    return figures(log, stage) if len(runs) == 1 else apart(figures(log, stage))


def sources(runs: Runs, stage: str, stages: Sequence[str], figure: MetricSpec, layered: int = 0) -> list[Source]:
    """A figure's curves; a heat map shows one run alone, `layered` by its place."""
    return [
        Source(name if len(runs) > 1 else own if stage == ALL else named(metric), name, own, metric, series)
        for name, log in (runs[layered : layered + 1] if figure.layered else runs)
        for own in (stages[1:] if stage == ALL else [stage])
        for metric in figure.metrics
        if len(series := log.series(own, metric))
    ]


def table(shown: Sequence[Source], first: float, last: float) -> Data | None:
    """Every point of the curves from one step to another, copied: the logs may go on."""
    parts = [(source, source.series.between(first, last).copy()) for source in shown]

    def rows() -> Iterator[Sequence[object]]:
        for source, series in parts:
            for start in range(0, len(series), PART):
                own = slice(start, start + PART)
                points = zip(*(a[own].tolist() for a in (series.steps, series.times, series.values)), strict=True)
                for step, moment, value in points:
                    whole = int(step) if step == int(step) else step
                    yield source.run, source.stage, source.metric, whole, moment, value if math.isfinite(value) else ""

    return Data(("run", "stage", "metric", "step", "time", "value"), rows(), copied=True) if parts else None

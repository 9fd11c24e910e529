"""What there is to see of a stage: its numbers put together as figures, with names for people."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.dashboard.axis_ticks import short_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.dashboard.live.event_log import EventLog

HELD_OUT = "held_out_loss"
NAMES = {
    "loss": "loss",
    HELD_OUT: "held-out loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens/s",
    "pair_accuracy": "pair accuracy",
    "cross_entropy": "cross-entropy",
    "cpu_percent": "CPU %",
    "memory_gib": "memory GiB",
    "process_gib": "process GiB",
}
SHARED_FIGURES = (("loss", ("loss", HELD_OUT)), ("loss parts", ("cross_entropy", "distillation")))
"""Numbers that share a scale, under one title."""
COMPARED_METRICS = ("loss", HELD_OUT, "learning_rate", "grad_norm", "tokens_per_second")
"""What is worth comparing between stages."""
MEDIAN = "beta.q50"
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A title and the metrics under it; `layered` ones are a heat map, `spread` are a distribution's quantiles."""

    title: str
    metrics: tuple[str, ...]
    layered: bool = False
    spread: bool = False


def metric_title(metric: str) -> str:
    """A metric's name for people."""
    return NAMES.get(metric, metric.replace("_", " ").replace("beta.", "β "))


def figures(log: EventLog, stage: str) -> list[MetricSpec]:
    """A stage's figures: losses, what the method is about, then the rest as it came."""
    left = dict.fromkeys(log.metrics(stage))
    found = []
    for title, metrics in SHARED_FIGURES:
        if own := tuple(metric for metric in metrics if metric in left):
            found.append(MetricSpec(title, own))
    if betas := tuple(log.group(stage, "beta")):
        found.append(MetricSpec("β quantiles", betas, spread=True))
    kinds: dict[str, list[str]] = {}
    for metric in log.group(stage, "alpha"):
        kinds.setdefault(layer_of(metric)[1], []).append(metric)
    found += [MetricSpec(f"α {kind}", tuple(own), layered=True) for kind, own in kinds.items()]
    for figure in found:
        for metric in figure.metrics:
            del left[metric]
    first = [name for name in ("pair_accuracy", *COMPARED_METRICS) if name in left]
    rest = [name for name in left if name not in first and not _is_final_result(log, stage, name)]
    return [*found, *(MetricSpec(metric_title(name), (name,)) for name in [*first, *rest])]


def latest_value(log: EventLog, stage: str, figure: MetricSpec) -> str:
    """A figure's newest value in a few characters.

    Of a heat map the largest, of quantiles the median with their range, of the loss its own (the held-out one is told
    seldom), of other numbers that share a scale each.
    """
    latest = {m: float(own[-1]) for m in figure.metrics if len(own := log.series(stage, m).values)}
    values = list(latest.values())
    finite = [value for value in values if math.isfinite(value)]
    if figure.layered:
        return f"±{short_number(max(map(abs, finite)))}" if finite else ""
    if figure.spread and len(finite) > 1:
        middle = latest.get(MEDIAN, sorted(finite)[len(finite) // 2])
        return f"{short_number(middle, 2)} {short_number(min(finite), 2)}–{short_number(max(finite), 2)}"
    if len(values) > 1 and HELD_OUT not in latest:
        return " · ".join(short_number(value, 3) for value in values)
    return short_number(values[0]) if values else ""


def _is_final_result(log: EventLog, stage: str, metric: str) -> bool:
    """Whether it is a result that is told at the end, and no curve."""
    return len(log.series(stage, metric)) == 1 and any(len(log.series(stage, m)) > 2 for m in ("loss", "tokens"))


def layer_of(metric: str) -> tuple[int, str]:
    """The number of an adapted projection's layer and what it projects: (3, `q_proj`)."""
    found = _LAYER.search(metric)
    return (int(found[1]) if found else 0), metric.rsplit(".", 1)[-1]


def comparable_metrics(log: EventLog, stages: Sequence[str]) -> list[MetricSpec]:
    """The figures that compare the stages: those told by two of them at least."""
    values = [set(log.metrics(stage)) for stage in stages]
    return [
        MetricSpec(metric_title(name), (name,))
        for name in COMPARED_METRICS
        if sum(name in metrics for metrics in values) > 1
    ]


def separate_metrics(found: Sequence[MetricSpec]) -> list[MetricSpec]:
    """Each metric a figure of its own, but for the heat maps: what compares runs."""
    return [
        one
        for figure in found
        for one in (
            [figure] if figure.layered else [MetricSpec(metric_title(metric), (metric,)) for metric in figure.metrics]
        )
    ]

"""Charts of a stage: which metrics share a chart, and their display names."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.dashboard.axis_ticks import short_number
from nsad_cli.models.nat.effect_size import effect_size
from nsad_cli.runs.negative_effect import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.dashboard.live.event_log import EventLogReader

HELD_OUT = "held_out_loss"
EFFECT = f"{KEY}.kl"
"""KL(NAT ‖ NAT with h− = h+) in nats a token, measured at checks."""
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
    EFFECT: "effect of negatives",
    f"{KEY}.share": "effect, share of output",
}
SHARED_CHARTS = (("loss", ("loss", HELD_OUT)), ("loss parts", ("cross_entropy", "distillation")))
"""Metrics that share a chart because they share a scale, with its title."""
COMPARED_METRICS = ("loss", HELD_OUT, "learning_rate", "grad_norm", "tokens_per_second")
"""Metrics that are compared between stages."""
MEDIAN = "beta.q50"
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """A chart's title and metrics; `layered`: drawn as a heat map; `spread`: quantiles of a distribution."""

    title: str
    metrics: tuple[str, ...]
    layered: bool = False
    spread: bool = False


def metric_title(metric: str) -> str:
    """Return a metric's display name."""
    return NAMES.get(metric, metric.replace("chains_per_second.", "chains/s ").replace("_", " ").replace("beta.", "β "))


def charts(log: EventLogReader, stage: str) -> list[ChartSpec]:
    """Return a stage's charts: losses, β and α, common metrics, then the others in order of appearance."""
    left = dict.fromkeys(log.metrics(stage))
    found = []
    for title, metrics in SHARED_CHARTS:
        if own := tuple(metric for metric in metrics if metric in left):
            found.append(ChartSpec(title, own))
    if betas := tuple(log.group(stage, "beta")):
        found.append(ChartSpec("β quantiles", betas, spread=True))
    kinds: dict[str, list[str]] = {}
    for metric in log.group(stage, "alpha"):
        kinds.setdefault(layer_of(metric)[1], []).append(metric)
    found += [ChartSpec(f"α {kind}", tuple(own), layered=True) for kind, own in kinds.items()]
    for chart in found:
        for metric in chart.metrics:
            del left[metric]
    first = [name for name in ("pair_accuracy", *COMPARED_METRICS) if name in left]
    rest = [name for name in left if name not in first and not _is_final_result(log, stage, name)]
    return [*found, *(ChartSpec(metric_title(name), (name,)) for name in [*first, *rest])]


def latest_value(log: EventLogReader, stage: str, chart: ChartSpec) -> str:
    """Format a chart's latest value compactly.

    For a heat map, the largest absolute value; for quantiles, the median and the range; for the loss, the training
    loss, because the held-out loss is logged rarely; for other shared charts, each metric's value; for the effect of
    negatives, its size in words too.
    """
    latest = {m: float(own[-1]) for m in chart.metrics if len(own := log.series(stage, m).values)}
    values = list(latest.values())
    finite = [value for value in values if math.isfinite(value)]
    if chart.layered:
        return f"±{short_number(max(map(abs, finite)))}" if finite else ""
    if chart.spread and len(finite) > 1:
        middle = latest.get(MEDIAN, sorted(finite)[len(finite) // 2])
        return f"{short_number(middle, 2)} {short_number(min(finite), 2)}–{short_number(max(finite), 2)}"
    if len(values) > 1 and HELD_OUT not in latest:
        return " · ".join(short_number(value, 3) for value in values)
    if values and chart.metrics == (EFFECT,) and finite:
        return f"{values[0]:.4f} {effect_size(values[0])}"
    return short_number(values[0]) if values else ""


def _is_final_result(log: EventLogReader, stage: str, metric: str) -> bool:
    """Return whether a metric is a result logged once at the end, rather than a curve; a single check is a curve."""
    if metric.startswith(f"{KEY}."):
        return False
    return len(log.series(stage, metric)) == 1 and any(len(log.series(stage, m)) > 2 for m in ("loss", "tokens"))


def layer_of(metric: str) -> tuple[int, str]:
    """Return the layer number and the name of an adapted projection, e.g. (3, `q_proj`)."""
    found = _LAYER.search(metric)
    return (int(found[1]) if found else 0), metric.rsplit(".", 1)[-1]


def comparison_charts(log: EventLogReader, stages: Sequence[str]) -> list[ChartSpec]:
    """Return the charts that compare stages: the metrics logged by at least two of them."""
    values = [set(log.metrics(stage)) for stage in stages]
    return [
        ChartSpec(metric_title(name), (name,))
        for name in COMPARED_METRICS
        if sum(name in metrics for metrics in values) > 1
    ]


def charts_per_metric(found: Sequence[ChartSpec]) -> list[ChartSpec]:
    """Return one chart per metric, except that heat maps stay whole; used to compare runs."""
    return [
        one
        for chart in found
        for one in (
            [chart] if chart.layered else [ChartSpec(metric_title(metric), (metric,)) for metric in chart.metrics]
        )
    ]

"""What trackers get of a run: the numbers of its events, its recipe without secrets, and its results."""

from __future__ import annotations

import json
import math
import re
from statistics import fmean
from typing import TYPE_CHECKING, Any

from nsad_cli.utils.api_keys import redact_argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.event_log import Event

LABELS = ("model", "benchmark")
"""Metrics of an event that name what its other metrics are about."""
UNSENT = ("report_to", "teacher.api_key_env", "teacher.base_url")
"""Settings that are not sent: they concern this machine and its accounts."""
_LAYER = re.compile(r"(?:^|\.)\d+\.")


def event_values(event: Event) -> dict[str, float]:
    """Return the numbers of an event by name: STAGE/METRIC, or STAGE/MODEL/BENCHMARK/METRIC.

    Nested metrics get a name of several parts. Of values by layer, such as α, there are hundreds in a large model: they
    are reduced to `mean`, `min` and `max`. Texts and numbers that are not finite are left out.
    """
    labels = [str(event.metrics[name]) for name in LABELS if event.metrics.get(name)]
    own = {name: value for name, value in event.metrics.items() if name not in LABELS}
    return dict(_numbers("/".join([event.stage, *labels]), own))


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        found = {key: number for key, item in value.items() for key, number in _numbers(str(key), item)}
        if found and all(_LAYER.search(str(key)) for key in value):
            numbers = found.values()
            found = {"mean": fmean(numbers), "min": min(numbers), "max": max(numbers)}
        for key, number in found.items():
            yield f"{name}/{key}", number
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, value


def sent_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of a recipe by dotted key, without UNSENT and with secrets in texts redacted."""
    return {key: value for key, value in _settings("", recipe.model_dump(mode="json")) if key not in UNSENT}


def _settings(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _settings(f"{name}.{key}" if name else str(key), item)
    elif isinstance(value, str):
        yield name, redact_argument(value)
    else:
        yield name, redact_argument(json.dumps(value)) if isinstance(value, dict | list) else value


def result_values(stage: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the accuracies that an evaluation has recorded, by STAGE/MODEL/BENCHMARK/RULE.

    Args:
        stage: The stage.
        rows: The list `results` of its result; greedy answers have no rule.
    """
    return {
        f"{stage}/{row['model']}/{row['benchmark']}/accuracy_{row['rule'] or 'greedy'}": row["accuracy"] for row in rows
    }

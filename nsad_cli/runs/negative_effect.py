"""The effect of NAT's negative branch that a run has measured, from its manifest or its event log."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import EVAL, stages
from nsad_cli.models.nat.effect_size import describe_effect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nsad_cli.runs.run import Run

KEY = "negative_effect"
"""The key of the effect in the events of a stage's checks, and in the stage's result."""


def measured_effects(run: Run) -> list[dict[str, Any]]:
    """Return the effects that a run has measured: those of its evaluation, else those of the checks in training.

    Returns:
        A row for each model and benchmark: `model`, `on` (what it was measured on), `kl` in nats a token, `share` of
        the unit's output (null if unknown), `summary`.

    Raises:
        NsadError: The run cannot be read.
    """
    records = run.stages()
    results = {name: record.get("result", {}) for name, record in records.items()}
    rows = results.get(EVAL.name, {}).get("negatives")
    found = [
        _row(str(row.get("model")), f"{row.get('benchmark')}, {row.get('n')} greedy chains", row)
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and _number(row.get("kl")) is not None
    ]
    known = {row["model"] for row in found}
    for name, result in results.items():
        stage = stages().get(name)
        if stage is None or stage.companion is None or name in known:
            continue
        effect = result.get(KEY) or checked_effect(run.path / "events.jsonl", name, result.get("best_step"))
        if isinstance(effect, dict) and _number(effect.get("kl")) is not None:
            found.append(_row(name, "held-out rationales", effect))
    return found


def checked_effect(log: Path, stage: str, step: int | None) -> dict[str, Any] | None:
    """Return the effect at a step's check in a stage's training; of the latest check if that step has none.

    Args:
        log: The run's event log.
        stage: The stage.
        step: The step whose weights are used, if it is known.

    Returns:
        `kl` and `share`; None if no check has measured them.
    """
    found: dict[int, dict[str, Any]] = {}
    for line in log.read_bytes().splitlines() if log.is_file() else ():
        if KEY.encode() not in line:
            continue
        try:
            event = json.loads(line)
            if event["stage"] == stage and isinstance(event["metrics"][KEY], dict):
                # a stage that was resumed or repeated logs earlier steps again
                found = {old: effect for old, effect in found.items() if old < event["step"]}
                found[event["step"]] = event["metrics"][KEY]
        except (ValueError, KeyError, TypeError):
            continue
    latest = max(found, default=None)
    return None if latest is None else found.get(latest if step is None else step, found[latest])


def _row(model: str, measured_on: str, effect: Mapping[str, Any]) -> dict[str, Any]:
    kl, share = float(effect["kl"]), _number(effect.get("share"))
    return {"model": model, "on": measured_on, "kl": kl, "share": share, "summary": describe_effect(kl, share)}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

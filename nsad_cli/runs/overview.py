"""What a run is and what it has reached, in one row: read from its manifest and its stored recipe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nsad_cli.config.recipe_diff import settings
from nsad_cli.config.stages import EVAL, NAT, NCE, UNTRAINED
from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nsad_cli.runs.run import Run


def overview(run: Run) -> dict[str, Any]:
    """Describe a run.

    Returns:
        `student`, `teacher` (None if the stored recipe cannot be read), `note`, `accuracy` (rows of `accuracies`) and
        `loss`: the held-out loss of the model that they measure, else of NCE or NAT, in nats a token, as
        `{"stage", "value"}`, or None.

    Raises:
        NsadError: The manifest cannot be read.
    """
    manifest = run.manifest()
    stages: dict[str, Any] = manifest["stages"]
    student, teacher = stored_names(run)
    results = {name: record.get("result", {}) for name, record in stages.items()}
    accuracy = accuracies(results.get(EVAL.name, {}).get("results"))
    measured = [row["model"] for row in accuracy[:1]]
    losses = [(name, results.get(name, {}).get("held_out_loss")) for name in (*measured, NCE.name, NAT.name)]
    loss = next(({"stage": name, "value": value} for name, value in losses if isinstance(value, float | int)), None)
    note = manifest.get("note")
    return {
        "student": student,
        "teacher": teacher,
        "note": note if isinstance(note, str) else None,
        "loss": loss,
        "accuracy": accuracy,
    }


def stored_names(run: Run) -> tuple[str | None, str | None]:
    """Return the student's model and the teacher of a run's stored recipe, which is not validated."""
    try:
        values = settings(run.path / "recipe.yaml")
        return str(json.loads(values["student.model"])), str(json.loads(values["teacher.spec"]))
    except (NsadError, KeyError):
        return None, None


def accuracies(results: Any) -> list[dict[str, Any]]:
    """Pool an evaluation's results over its benchmarks, for one model: NCE, else NAT, a baseline, or an untrained one.

    Args:
        results: The list `results` of a finished evaluation, or anything else for none.

    Returns:
        For greedy answers and each rule: `model`, `rule` (None: greedy), `accuracy`, and `n`, the number of problems.
    """
    rows = [row for row in results if _is_complete(row)] if isinstance(results, list) else []
    measured = list(dict.fromkeys(row["model"] for row in rows))
    trained = [name for name in (NCE.name, NAT.name, *measured) if name in measured and name not in UNTRAINED]
    model = next(iter([*trained, *measured]), None)
    pooled: dict[str | None, tuple[float, int]] = {}
    for row in rows:
        if row["model"] == model and row.get("method") != "samples":
            right, n = pooled.get(row["rule"], (0.0, 0))
            pooled[row["rule"]] = right + row["accuracy"] * row["n"], n + row["n"]
    return [
        {"model": model, "rule": rule, "accuracy": right / n, "n": n} for rule, (right, n) in pooled.items() if n > 0
    ]


def accuracy_by(rows: Iterable[Mapping[str, Any]], rule: str | None) -> float | None:
    """Return the accuracy of a rule (None: greedy answers) in rows of `accuracies`; None if it was not measured."""
    return next((float(row["accuracy"]) for row in rows if row["rule"] == rule), None)


def _is_complete(row: Any) -> bool:
    """Return whether a row has what is pooled; other programs may write manifests."""
    return (
        isinstance(row, dict)
        and {"model", "rule"} <= set(row)
        and isinstance(row.get("accuracy"), float | int)
        and isinstance(row.get("n"), int)
    )

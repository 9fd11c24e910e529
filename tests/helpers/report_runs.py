"""Runs for the tests of reports: one with every part, hostile texts included, and the file of a study."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nsad_cli.utils.statistics import wilson
from tests.helpers import rationale_stores, vote_run
from tests.helpers.run_folders import collected, event, finished, steps, trained

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "<script>alert('1')</script><img src=x onerror=alert(1)> \"'`|</svg></style>-->\x00\x1b[31m\u202e"
BENCHMARK = "arithmetic:test"
ACCURACIES: dict[str, dict[str | None, float]] = {
    "base": {None: 0.02},
    "nat": {None: 0.44, "sc": 0.52, "asc": 0.56, "any": 0.8},
    "nce": {None: 0.4, "sc": 0.42, "wsc": 0.44, "asc": 0.58, "best": 0.4, "any": 0.7, "mean": 0.36},
}


def rows(model: str) -> list[dict[str, Any]]:
    """A model's rows of an evaluation."""
    return [
        {"benchmark": BENCHMARK, "model": model, "method": "vote" if rule else "greedy", "rule": rule, "n": 50,
         "samples": 8 if rule else 1, "accuracy": accuracy, "ci95": list(wilson(50 * accuracy, 50)), "unanswered": 0.0,
         "truncated": 0.02, "tokens": 17000}
        for rule, accuracy in ACCURACIES[model].items()
    ]  # fmt: skip


def pairs(value: float, low: float, high: float) -> dict[str, Any]:
    """A measured score."""
    return {
        "pair_accuracy": {"value": value, "low": low, "high": high, "pairs": 140, "problems": 31},
        "auc": value,
    }


def ranking(refused: str | None = None) -> dict[str, Any]:
    """The measurement of a combined ranker."""
    free = {"logprob": pairs(0.7, 0.58, 0.82), "steps": pairs(0.86, 0.77, 0.95)}
    return {
        "measured": {**pairs(0.88, 0.81, 0.95), "ece": 0.071, "free": free},
        "weighting": {"form": "odds", "exponent": 2.0},
        "likelihood": 4.0,
        "refused": refused,
        "unseen_problems": True,
    }


def make_run(home: Path, name: str = "whole", refused: str | None = None) -> Path:
    """A run with every part of a report; some of its texts are hostile."""
    folder = vote_run.make_run(home, name)
    rationale_stores.fill(folder / "store.sqlite")
    effect = {"benchmark": BENCHMARK, "model": "nat", "n": 32, "kl": 0.00031, "share": 0.012, "tokens": 900,
              "summary": "KL 0.0003 nats a token, 1% of the unit's output: none"}  # fmt: skip
    stages = {
        **trained(),
        "collect": finished(4000, 12, params=rationale_stores.PARAMS, problem_ids=["p0", "p1", "p2"]),
        "grade": collected()["grade"],
        "eval-before": finished(3950, 80, results=rows("base")),
        "ranker": finished(3200, 188, steps=26, tokens=33564, kind="combined", ranking=ranking(refused)),
        "eval": finished(2900, 278, results=rows("nat") + rows("nce"), negatives=[effect]),
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"created": 1.7e9, "versions": {"nsad": "0.1.0", "torch": SCRIPT}, "stages": stages}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    recipe = "seed: 3\nteacher:\n  spec: arithmetic\n  prompt: '{question} <script>x</script>'\n"
    (folder / "recipe.yaml").write_text(recipe)
    (folder / "events.jsonl").write_text("".join(json.dumps(item) + "\n" for item in events()))
    return folder


def events() -> list[dict[str, Any]]:
    """Events of every stage; NAT was stopped after step 20 and resumed from step 16."""
    found = [*steps("negative", 29, 29, 4)]
    for start, end in ((1, 20), (17, 33)):
        for step in range(start, end + 1):
            alpha = {f"layers.{i}.q_proj": 0.001 * step * (i - 1) for i in range(4)}
            found.append(event(1000, "nat", step, 33, loss=1.5 / step + 0.01 * (start > 1), alpha=alpha))
            if step % 11 == 0:
                measured = {"kl": 0.001 / step, "share": 0.01}
                found.append(event(1000, "nat", step, 33, held_out_loss=1 / step, negative_effect=measured))
    beta = {"q05": 0.1, "q25": 0.2, "q50": 0.25, "q75": 0.3, "q95": 0.4}
    found += steps("nce", 33, 33, 7, beta=beta)
    found.append(event(900, "nce", 33, 33, held_out_loss=0.07))
    return [*found, *steps("ranker", 6, 6, 3, pair_accuracy=0.75)]


def make_study(home: Path, name: str = "arms", **changes: Any) -> Path:
    """The result file of a study of three arms; `changes` replace its keys."""
    votes: list[Any] = [
        {"rule": "sc", "n": 200, "accuracy": 0.4},
        {"rule": "asc", "n": 200, "accuracy": 0.5, "difference": 0.1, "ci95": [0.05, 0.15], "p": 0.001,
         "gap_closed": 0.5},
    ]  # fmt: skip
    arms = [
        {"arm": "cot-kd", "n": 200, "accuracy": 0.36, "tokens": 21359, "parameters": 2442240},
        {"arm": "nat", "n": 200, "accuracy": 0.44, "difference": 0.08, "ci95": [0.01, 0.15], "p": 0.026,
         "p_holm": 0.052, "tokens": 21359, "parameters": 15713280, "votes": votes},
        {"arm": SCRIPT, "n": 200, "accuracy": 0.355, "difference": -0.005, "ci95": [-0.08, 0.07], "p": 0.9},
    ]  # fmt: skip
    votes += [{"rule": "any", "n": 200, "accuracy": 0.6}, SCRIPT, {"rule": SCRIPT, "p": "0.1"}]
    cells = [{"arm": "nat", "seed": 0, "accuracy": 0.44}, {"arm": "cot-kd", "seed": 0, "note": SCRIPT}]
    value = {"study": name, "control": "cot-kd", "arms": arms, "minimal_difference": 0.07, "cells": cells}
    path = home / "studies" / name / "study.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**value, **changes}))
    return path

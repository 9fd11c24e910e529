"""Run folders of every kind, small and always the same, at the tests' stopped clock."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from nsad_cli.runs.manifest import FORMAT
from tests.helpers.screens import NOW

if TYPE_CHECKING:
    from pathlib import Path

ACCURACIES = {None: 0.4, "sc": 0.44, "asc": 0.52, "any": 0.8}


def stage(state: str, started: float, seconds: float, **more: Any) -> dict[str, Any]:
    """A stage of a manifest, started so many seconds before now."""
    return {"state": state, "key": "k", "started": NOW - started, "seconds": seconds, **more}


def finished(started: float, seconds: float, **result: Any) -> dict[str, Any]:
    """A finished stage and what it came to."""
    return stage("finished", started, seconds, ended=NOW - started + seconds, result=result)


def evaluated(started: float, seconds: float, model: str = "nce") -> dict[str, Any]:
    """A finished evaluation of a model."""
    rows = [
        {"benchmark": "arithmetic:test", "model": model, "rule": rule, "accuracy": accuracy, "n": 50, "samples": 8}
        for rule, accuracy in ACCURACIES.items()
    ]
    return finished(started, seconds, results=rows)


def collected() -> dict[str, dict[str, Any]]:
    """The stages before training."""
    return {
        "collect": finished(4000, 12, draws=960, problems=240, failed=0, problem_ids=["a"] * 240),
        "grade": finished(3980, 3, ledger={"verdicts": {"correct": 581, "wrong": 379}}),
    }


def trained() -> dict[str, dict[str, Any]]:
    """The stages of the method up to the student."""
    return {
        **collected(),
        "negative": finished(3900, 115, held_out_loss=0.217, best_step=29, steps=29, tokens=18452),
        "nat": finished(3700, 125, held_out_loss=0.065, best_step=20, steps=33, tokens=21359),
        "nce": finished(3500, 237, held_out_loss=0.07, best_step=33, steps=33, tokens=21359),
    }


def event(ago: float, stage: str, step: int, total: int, **metrics: Any) -> dict[str, Any]:
    """An event so many seconds before now."""
    return {"time": NOW - ago, "stage": stage, "step": step, "total": total, "metrics": metrics}


def steps(stage: str, last: int, total: int, every: float, since: float = 0.0, **metrics: Any) -> list[dict[str, Any]]:
    """Events of the steps up to `last`, one in so many seconds, the last one `since` seconds ago."""
    return [
        event(since + (last - step) * every, stage, step, total, loss=1 / step, **metrics)
        for step in range(1, last + 1)
    ]


def make_run(
    home: Path,
    name: str,
    stages: dict[str, Any],
    events: list[dict[str, Any]] | None = None,
    *,
    changed: float = 0.0,
    recipe: str = "seed: 0\n",
) -> Path:
    """A run's folder; its manifest changed so many seconds before now."""
    folder = home / name
    folder.mkdir(parents=True)
    manifest = {
        "format": FORMAT,
        "name": name,
        "created": NOW - 4000,
        "versions": {"nsad": "0.1.0"},
        "store": None,
        "stages": stages,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "recipe.yaml").write_text(recipe)
    if events is not None:
        (folder / "events.jsonl").write_text("".join(json.dumps(item) + "\n" for item in events))
    os.utime(folder / "manifest.json", (NOW - changed, NOW - changed))
    return folder


def make_runs(home: Path) -> None:
    """A run of every kind; `training` and `quiet` run where their lock is held."""
    training = {**collected(), "negative": finished(3900, 115, held_out_loss=0.217, best_step=29, steps=29)}
    make_run(
        home,
        "training",
        {**training, "nat": stage("running", 130, 0)},
        [*steps("nat", 12, 33, 10, 4), event(3, "nat", 12, 33, held_out_loss=0.31)],
        recipe="seed: 1\nadapter:\n  r: 8\n  targets: all-linear\n",
    )
    make_run(home, "quiet", {**training, "nat": stage("running", 1200, 0)}, steps("nat", 5, 33, 10, 1100), changed=10)
    ranker = finished(3000, 188, steps=26, tokens=33564, calibration={"ranking_accuracy": 0.56})
    make_run(
        home,
        "whole-method-on-smollm2",
        {**trained(), "ranker": ranker, "eval": evaluated(2800, 278)},
        [event(2522, "eval", 250, 250, model="nce", benchmark="arithmetic:test")],
        changed=20,
        recipe="seed: 0\nadapter:\n  r: 16\n  targets: all-linear\n",
    )
    error = "nce: the loss is not finite at step 4: training has diverged"
    make_run(home, "diverged", {**trained(), "nce": stage("failed", 800, 60, error=error)}, changed=30)
    make_run(
        home,
        "ctrl-c",
        {**training, "nat": stage("interrupted", 900, 300, ended=NOW - 600, error="")},
        steps("nat", 29, 33, 10, 600),
        changed=40,
    )
    make_run(home, "killed", {**training, "nat": stage("running", 3700, 0)}, steps("nat", 9, 33, 10, 3500), changed=50)
    make_run(home, "new", {}, changed=60)
    older = make_run(home, "older", collected(), changed=70)
    text = (older / "manifest.json").read_text()
    (older / "manifest.json").write_text(text.replace(f'"format": {FORMAT}', '"format": 1'))
    damaged = make_run(home, "damaged", collected(), changed=80)
    (damaged / "manifest.json").write_text('{"format": 2, "stages"')
    for folder, ago in ((older, 70), (damaged, 80)):
        os.utime(folder / "manifest.json", (NOW - ago, NOW - ago))
    (home / ".chosen").write_text("whole-method-on-smollm2\n")

"""The progress of a cell, read from its run's manifest and the end of its event log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nsad_cli.config.stages import EVAL
from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.runs.run import Run

TAIL_BYTES = 8192


def progress(run: Run) -> str:
    """Describe what a run is doing in a few words: `nat 12/40`; its last stage if it has logged no event of it."""
    try:
        stages = run.stages()
    except NsadError:
        return ""
    if not stages:
        return ""
    stage = max(stages, key=lambda name: stages[name].get("started", 0))
    done = last_event(run.events.path)
    return f"{stage} {done[1]}/{done[2]}" if done is not None and done[0].startswith(stage) else stage


def accuracy(run: Run) -> float | None:
    """Return the accuracy of greedy answers over all benchmarks that a cell's evaluation recorded; None if none."""
    try:
        rows = run.stages().get(EVAL.name, {}).get("result", {}).get("results", [])
    except NsadError:
        return None
    counts = [(row["n"], row["accuracy"]) for row in rows if row["rule"] is None]
    return sum(n * share for n, share in counts) / sum(n for n, _ in counts) if counts else None


def last_event(path: Path) -> tuple[str, int, int] | None:
    """Return stage, step and total of the last whole event of a log; None if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            value = json.loads(line)
            return str(value["stage"]), int(value["step"]), int(value["total"])
        except (ValueError, KeyError, TypeError):
            continue
    return None

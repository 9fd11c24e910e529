"""Which run a command works on, with its flags laid over the run's recipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.output import say

if TYPE_CHECKING:
    from nsad_cli.runs import Run


def existing_run(name: str | None, overrides: Mapping[str, Any] | None = None, *, finished: bool = False) -> Run:
    """Open a run (see Run.open), say which on stderr, and write flags into its recipe."""
    from nsad_cli.recipes import load_recipe
    from nsad_cli.runs import Run

    run = Run.open(name, finished=finished)
    say(f"run: {run.name}")
    if overrides and any(value is not None for value in overrides.values()):
        run.write_recipe(load_recipe(run.path / "recipe.yaml", overrides))
    return run


def new_or_existing_run(name: str | None, overrides: Mapping[str, Any], store: Path | None) -> Run:
    """Open the named run, or make one; without a name make one named after the time."""
    from nsad_cli.recipes import load_recipe
    from nsad_cli.runs import Run, runs_home

    name = name or time.strftime("run-%Y%m%d-%H%M%S")
    known = runs_home() / name / "recipe.yaml"
    run = Run.create(name, load_recipe(known if known.is_file() else None, overrides), store=store)
    say(f"run: {run.name}")
    return run


def execute(run: Run, stages: Sequence[str], *, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages with the live display; the first line appears before anything heavy is imported."""
    from nsad_cli.cli.display import Display

    with Display(run) as display:
        display.note(f"{run.path}: {', '.join(stages)}")
        sys.stderr.flush()
        from nsad_cli.pipeline import run_stages

        return run_stages(run, stages, note=display.note, force=force)

"""Selection of the run that a command works on; flags override the run's recipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run


def existing_run(name: str | None, overrides: Mapping[str, Any] | None = None, *, finished: bool = False) -> Run:
    """Open a run (see Run.open), log its name, and write the overrides into its recipe."""
    from nsad_cli.runs.run import Run

    run = Run.open(name, finished=finished)
    note(f"run: {run.name}")
    if overrides and any(value is not None for value in overrides.values()):
        run.write_recipe(run.recipe_with(overrides))
    return run


def new_or_existing_run(name: str | None, overrides: Mapping[str, Any], store: Path | None) -> Run:
    """Open or create the named run; without a name, resume a stopped run or create one named after the time."""
    from nsad_cli.runs.run import Run, check_name

    if name is not None:
        check_name(name)
    recipe = recipe_of(name, overrides)
    name = name or stopped_run(recipe) or time.strftime("run-%Y%m%d-%H%M%S")
    run = Run.create(name, recipe, store=store)
    note(f"run: {run.name}")
    return run


def recipe_of(name: str | None, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a run, or the default one if the run does not exist, with overrides applied."""
    from nsad_cli.config.recipes import load_recipe
    from nsad_cli.runs.run import runs_home

    known = runs_home() / name / "recipe.yaml" if name else None
    return load_recipe(known if known is not None and known.is_file() else None, overrides)


def stopped_run(recipe: Recipe) -> str | None:
    """Return the newest run's name if its collection, with the same recipe, has stopped or is incomplete.

    Repeating a command without --run then resumes that run, and does not pay again for stored draws or open batches.
    """
    from nsad_cli.collection.collect import INCOMPLETE_KEYS
    from nsad_cli.errors import NsadError
    from nsad_cli.runs.run import list_runs

    with contextlib.suppress(NsadError):  # an unreadable run must not prevent a new one
        for run in list_runs()[:1]:
            state = run.stages().get("collect")
            if state is None or run.busy() or run.recipe != recipe:
                return None
            if state["state"] != "finished" or any(state["result"].get(name) for name in INCOMPLETE_KEYS):
                return run.name
    return None


def execute(run: Run, stages: Sequence[str], *, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages with the progress display; the first line is printed before torch is imported."""
    from nsad_cli.cli.render.progress import Display

    with Display(run):
        note(f"{run.path}: {', '.join(stages)}")
        sys.stderr.flush()
        from nsad_cli import api

        return api.train(run, *stages, force=force)

"""Which run a command works on, with its flags laid over the run's recipe."""

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
    """Open a run (see Run.open), say which on stderr, and write flags into its recipe."""
    from nsad_cli.runs.run import Run

    run = Run.open(name, finished=finished)
    note(f"run: {run.name}")
    if overrides and any(value is not None for value in overrides.values()):
        run.write_recipe(run.recipe_with(overrides))
    return run


def new_or_existing_run(name: str | None, overrides: Mapping[str, Any], store: Path | None) -> Run:
    """Open the named run, or make one; without a name go on with a stopped one, else make one named after the time."""
    from nsad_cli.runs.run import Run

    recipe = recipe_of(name, overrides)
    name = name or stopped_run(recipe) or time.strftime("run-%Y%m%d-%H%M%S")
    run = Run.create(name, recipe, store=store)
    note(f"run: {run.name}")
    return run


def recipe_of(name: str | None, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe of a run, which need not exist, with flags laid over it."""
    from nsad_cli.config.recipes import load_recipe
    from nsad_cli.runs.run import runs_home

    known = runs_home() / name / "recipe.yaml" if name else None
    return load_recipe(known if known is not None and known.is_file() else None, overrides)


def stopped_run(recipe: Recipe) -> str | None:
    """The newest run, where its collection by the very same settings has stopped or lacks draws.

    The same command again must not pay again for what an unnamed run has in its store, or in a batch under way.
    """
    from nsad_cli.collection.collect import INCOMPLETE_KEYS
    from nsad_cli.errors import NsadError
    from nsad_cli.runs.run import list_runs

    with contextlib.suppress(NsadError):  # a run that cannot be read is no reason against a new one
        for run in list_runs()[:1]:
            state = run.stages().get("collect")
            if state is None or run.busy() or run.recipe != recipe:
                return None
            if state["state"] != "finished" or any(state["result"].get(name) for name in INCOMPLETE_KEYS):
                return run.name
    return None


def execute(run: Run, stages: Sequence[str], *, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages with the live display; the first line appears before anything heavy is imported."""
    from nsad_cli.cli.render.progress import Display

    with Display(run):
        note(f"{run.path}: {', '.join(stages)}")
        sys.stderr.flush()
        from nsad_cli import api

        return api.train(run, *stages, force=force)

"""Selection of the run that a command works on; flags override the run's recipe."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import COLLECT
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.runs.command import resume_hint
from nsad_cli.utils.distributed import is_main_process, world_size
from nsad_cli.utils.file_systems import network_file_system
from nsad_cli.utils.files import write_error
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


def new_or_existing_run(
    name: str | None, overrides: Mapping[str, Any], store: Path | None, stages: Sequence[str] = (COLLECT.name,)
) -> Run:
    """Open or create the named run; without a name, resume a stopped run or create one named after the time.

    Args:
        name: The run's name.
        overrides: Settings that replace the recipe's.
        store: The store of rationales to use; None for the run's own.
        stages: The stages of the command.
    """
    from nsad_cli.runs.run import Run

    recipe = recipe_of(name, overrides)
    name = name or stopped_run(recipe, stages) or _unused_name()
    run = Run.create(name, recipe, store=store)
    note(f"run: {run.name}")
    note_network_store(store)
    return run


def note_network_store(store: Path | None) -> None:
    """Note that the file given with --store is on a network file system, if it is."""
    if store is not None and (found := network_file_system(store)) is not None:
        note(
            f"{store} is on a network file system ({found}): SQLite uses a rollback journal there, which is slower, "
            "and processes of one host at a time can write"
        )


def recipe_of(name: str | None, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a run, or the default one if the run does not exist, with overrides applied."""
    from nsad_cli.config.recipes import load_recipe
    from nsad_cli.runs.run import check_name, runs_home

    if name is not None:
        check_name(name)
    known = runs_home() / name / "recipe.yaml" if name else None
    return load_recipe(known if known is not None and known.is_file() else None, overrides)


def stopped_run(recipe: Recipe, stages: Sequence[str] = (COLLECT.name,)) -> str | None:
    """Return the newest run's name if it has the same recipe and the command's stages have stopped or are incomplete.

    Repeating a command without --run then resumes that run, and does not pay again for stored draws or open batches.
    """
    from nsad_cli.collection.collect import INCOMPLETE_KEYS
    from nsad_cli.runs.run import list_runs, newest_started, with_defaults

    run = newest_started(list_runs())
    with contextlib.suppress(NsadError):  # an unreadable recipe must not prevent a new run
        records = run.stages() if run is not None else {}
        if run is None or COLLECT.name not in records or run.busy() or run.recipe != with_defaults(run, recipe):
            return None
        stopped = any(records.get(stage, {}).get("state") != "finished" for stage in stages)
        if stopped or any(records[COLLECT.name]["result"].get(name) for name in INCOMPLETE_KEYS):
            return run.name
    return None


def execute(run: Run, stages: Sequence[str], *, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages with the progress display; the first line is printed before torch is imported."""
    from nsad_cli.cli.render.progress import Display

    with Display(run):
        note(f"{run.path}: {', '.join(stages)}")
        sys.stderr.flush()
        from nsad_cli import api

        try:
            return api.train(run, *stages, force=force)
        except BaseException as error:
            remove_if_empty(run)
            if isinstance(error, NsadError) and not isinstance(error, UsageError) and run.path.exists():
                error.fix = f"{error.fix}; {resume_hint()}"
            raise


def _unused_name() -> str:
    """Reserve a name for a new run; two processes that start in the same second get two names."""
    from nsad_cli.runs.run import runs_home

    stem = time.strftime("run-%Y%m%d-%H%M%S")
    if world_size() > 1:  # the processes of one launch share their run
        return stem
    home = runs_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            name = stem if number == 1 else f"{stem}-{number}"
            with contextlib.suppress(FileExistsError):
                (home / name).mkdir()
                return name
    except OSError as error:
        raise write_error(home, error) from error
    raise AssertionError("unreachable")


def remove_if_empty(run: Run) -> None:
    """Remove a run that this process created and that failed before its first sample; a batch is kept like a sample."""
    if not run.is_new or not is_main_process():
        return
    with contextlib.suppress(NsadError), run.lock():  # another process that uses the run holds the lock
        if not _has_data(run):
            shutil.rmtree(run.path, ignore_errors=True)


def _has_data(run: Run) -> bool:
    from nsad_cli.store.rationales import Store

    if set(run.stages()) - {COLLECT.name} or run.chains_path.exists() or run.store_path.parent != run.path:
        return True
    if not run.store_path.exists():
        return False
    with Store(run.store_path) as store:
        return bool(store.counts()["draws"]) or store.batches.exist()

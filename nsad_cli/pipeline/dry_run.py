"""Quotes and plans on a temporary copy of a run's records, so that the run itself does not change."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.collection.quote import Quote, make_quote
from nsad_cli.pipeline.collect_stage import training_problems
from nsad_cli.pipeline.forecast import planned_teacher
from nsad_cli.runs.base_model import FILE as BASE_FILE
from nsad_cli.runs.manifest import FORMAT
from nsad_cli.runs.run import Run, as_in_run, check_name, runs_home
from nsad_cli.store.rationales import Store
from nsad_cli.utils.files import write_atomic

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe


def quote_collection(name: str | None, recipe: Recipe, store: Path | None) -> Quote:
    """Quote a run's collection; see make_quote.

    Args:
        name: The run's name; None for a new run.
        recipe: The recipe.
        store: The store that a new run would share, if any.

    Returns:
        The quote.

    Raises:
        NsadError: The collection would fail before its first request; a missing API key is not reported.
    """
    if name is not None:
        check_name(name)
    with tempfile.TemporaryDirectory(prefix="nsad-quote-") as folder:
        source = Run(runs_home() / name if name is not None else Path(folder) / "none" / "new")
        run = copy_of_records(source, recipe, Path(folder), store=store, chains=False)
        teacher = planned_teacher(recipe.teacher)
        problems = training_problems(recipe, teacher)
        with Store(run.store_path) as records:
            return make_quote(recipe.teacher, teacher, problems, records)


def copy_of_records(
    source: Run, recipe: Recipe, folder: Path, *, store: Path | None = None, chains: bool = True
) -> Run:
    """Copy a run's manifest and stores, with another recipe.

    The run's own stores are never opened, because SQLite creates files next to a database even for reading.

    Args:
        source: The run, which need not exist.
        recipe: The recipe of the copy.
        folder: The folder in which the copy is created.
        store: The store that a run that does not exist would share, if any.
        chains: Whether to copy chains too.

    Returns:
        The copy.
    """
    run = Run(folder / source.name)
    manifest: dict[str, Any] = {"format": FORMAT, "name": source.name, "created": 0, "versions": {}, "stages": {}}
    stores = {"store.sqlite": store} if store is not None else {}
    if (source.path / "manifest.json").exists():
        source.check_store(store)
        manifest = source.manifest()
        stores = {"store.sqlite": source.store_path, **({"chains.sqlite": source.chains_path} if chains else {})}
    write_atomic(run.path / "manifest.json", json.dumps({**manifest, "store": None}))
    if (source.path / BASE_FILE).is_file():
        shutil.copyfile(source.path / BASE_FILE, run.path / BASE_FILE)
    for target, path in stores.items():
        for end in ("", "-wal"):  # the write-ahead log has commits that are not in the file yet
            if Path(f"{path}{end}").is_file():
                shutil.copyfile(f"{path}{end}", run.path / f"{target}{end}")
    run.write_recipe(as_in_run(source, recipe))
    return run

"""Stages that cells share: a stage that another run has finished under the same key is copied, not computed again."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import COLLECT, GRADE
from nsad_cli.pipeline.collect_stage import collected, graded
from nsad_cli.pipeline.plan import planning
from nsad_cli.runs.base_model import adapter_damage
from nsad_cli.utils.files import make_folder, new_folder, open_no_link
from nsad_cli.utils.logs import muted_notes, note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nsad_cli.runs.run import Run
    from nsad_cli.study.cells import Cell

COPIED_FROM = "copied_from"
"""The field of a stage's record in the manifest with the run that it was copied from."""


def share_collection(source: Run, target: Run) -> None:
    """Record the collection and the verdicts of a run in another one, which uses the same store and teacher."""
    for name, record in _shared_records(source).items():
        if target.stages().get(name) != record:
            target.adopt(name, record)


def has_collection(source: Run, target: Run, key: str) -> bool:
    """Return whether two runs have finished the same collection, with a verdict on every draw.

    Args:
        source: The run that has collected.
        target: The run that has its records, or the same run.
        key: The key of the collection.
    """
    if not all((run.path / "manifest.json").is_file() for run in (source, target)):
        return False
    if not collected(source, key) or not graded(source):
        return False
    records = target.stages()
    return source.name == target.name or all(records.get(name) == own for name, own in _shared_records(source).items())


def _shared_records(source: Run) -> dict[str, dict[str, Any]]:
    records = source.stages()
    return {name: {**records[name], COPIED_FROM: source.name} for name in (COLLECT.name, GRADE.name)}


def first_stage_keys(cell: Cell) -> set[str]:
    """Return the keys of the training stages with which a cell starts, before anything is trained.

    A stage's key contains the weights of those that it requires, so that cells can share a stage only if they share
    one of these.

    Args:
        cell: A cell whose collection is graded.
    """
    if not cell.trained:
        return set()
    with muted_notes(), planning(cell.name, cell.recipe) as context:
        from nsad_cli.training.stages import stage_key

        first = [cell.table[name] for name in cell.trained if not set(cell.table[name].requires) & set(cell.trained)]
        return {stage_key(context.session, stage, context.corpus) for stage in first}


def copy_trained(name: str, key: str, target: Run, others: Sequence[Run]) -> bool:
    """Copy a trained stage from another run that has finished it under the same key, if there is one.

    Equal keys mean equal settings and inputs, so the adapter is the one that this run would train.

    Args:
        name: The stage.
        key: Its key in the target run.
        target: The run, whose lock this process holds.
        others: The runs to copy from.

    Returns:
        Whether the stage was copied.
    """
    from nsad_cli.training.trainer import forget_checkpoints

    for other in others:
        if other.name == target.name or not (other.path / "manifest.json").is_file() or not other.done(name, key):
            continue
        if adapter_damage(other, name):
            continue
        folder = target.adapter_path(name)
        shutil.rmtree(folder, ignore_errors=True)
        with new_folder(folder) as copy:
            shutil.copytree(other.adapter_path(name), copy, dirs_exist_ok=True)
        target.adopt(name, {**other.stages()[name], COPIED_FROM: other.name})
        forget_checkpoints(target, name)
        note(f"{name}: copied from run {other.name}, which trained it with the same settings and data")
        return True
    return False


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for another process that holds it: of two cells with one stage, the second copies."""
    make_folder(path.parent)
    with open(path, "a", opener=open_no_link) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Stages that cells share: a stage that another run has finished under the same key is copied, not computed again."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from typing import TYPE_CHECKING

from nsad_cli.config.stages import COLLECT, GRADE
from nsad_cli.runs.base_model import adapter_damage
from nsad_cli.utils.files import make_folder, new_folder, open_no_link
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nsad_cli.runs.run import Run

COPIED_FROM = "copied_from"
"""The field of a stage's record in the manifest with the run that it was copied from."""


def share_collection(source: Run, target: Run) -> None:
    """Record the collection and the verdicts of a run in another one, which uses the same store and teacher."""
    records = source.stages()
    for name in (COLLECT.name, GRADE.name):
        record = {**records[name], COPIED_FROM: source.name}
        if target.stages().get(name) != record:
            target.adopt(name, record)


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

"""Checkpoint folders of a stage: which one to resume from, which ones to keep, and errors while writing them."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEIGHTS = "trained.safetensors"
STATE = "objective.safetensors"
COMPLETE = "complete"
"""Marker file, written last: a checkpoint without it is incomplete and is never resumed from."""


def checkpoint_folder(folder: Path, step: int | None) -> Path:
    """Return the folder of a step's checkpoint, with the name that transformers' Trainer uses."""
    return folder / f"checkpoint-{step}"


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint in a stage's folder, or None."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def keep_newest_and_best(newest: Path, best: Path) -> None:
    """Mark the newest checkpoint as complete and delete all others except the best one."""
    (newest / COMPLETE).touch()
    for old in set(newest.parent.glob("checkpoint-*")) - {newest, best}:
        (old / COMPLETE).unlink(missing_ok=True)  # first, so that a half-deleted one does not count as complete
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def checkpoint_errors(stage: str) -> Iterator[None]:
    """Convert the errors that torch and safetensors raise on a full disk to an NsadError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        text = f"{error} {error.__context__}"
        full = any(mark in text for mark in ("No space left", "os error 28"))
        if full or any(mark in text for mark in ("PytorchStreamWriter", "inline_container", "iostream error")):
            raise NsadError(
                f"{stage}: a checkpoint could not be written",
                "the disk is full" if full else "torch could not write the file, most likely because the disk is full",
                "free some space and run the same command again: it resumes from the last complete checkpoint",
            ) from error
        raise

"""Checkpoint folders of a stage: which one to resume from, which ones to keep, and errors while writing them."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.files import file_digest, sync, write_atomic
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEIGHTS = "trained.safetensors"
STATE = "objective.safetensors"
TRAINER_STATE = "trainer_state.json"
COMPLETE = "complete"
"""Marker file with the digests of all others, written last: a checkpoint without it is never resumed from."""


def checkpoint_folder(folder: Path, step: int | None) -> Path:
    """Return the folder of a step's checkpoint, with the name that transformers' Trainer uses."""
    return folder / f"checkpoint-{step}"


def newest_checkpoint(folder: Path, stage: str) -> Path | None:
    """Return the newest checkpoint in a stage's folder whose files are whole, or None.

    Args:
        folder: The folder of the stage's checkpoints.
        stage: The stage's name, for notes on damaged checkpoints.
    """
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    for path in sorted(complete, key=_step, reverse=True):
        reason = damage(path) or _damage_of_best(path)
        if not reason:
            return path
        note(f"{stage}: checkpoint of step {_step(path)} is damaged ({reason}) and is not used")
    return None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def damage(checkpoint: Path) -> str:
    """Return what is wrong with a complete checkpoint's files; empty if nothing is.

    Files are compared with the digests in the marker. The marker of an earlier version is empty: its files are then
    opened, which finds missing and truncated files, and flipped bits in those that torch wrote.
    """
    try:
        marker = (checkpoint / COMPLETE).read_text(encoding="utf-8")
        digests: dict[str, str] = dict(json.loads(marker)["files"]) if marker else {}
    except (OSError, ValueError, KeyError, TypeError):
        return f"{COMPLETE} cannot be read"
    for name, digest in digests.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if file_digest(path) != digest:
            return f"{name} has changed"
    return "" if digests else _damage_when_opened(checkpoint)


def _damage_of_best(checkpoint: Path) -> str:
    """Return what is wrong with the best checkpoint before this one, whose weights the stage may end with."""
    best = json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8")).get("best_global_step")
    if best is None or best == _step(checkpoint):
        return ""
    path = checkpoint_folder(checkpoint.parent, best)
    reason = damage(path) if (path / COMPLETE).is_file() else "it is missing"
    return f"the best checkpoint, of step {best}: {reason}" if reason else ""


def _damage_when_opened(checkpoint: Path) -> str:
    sharded = any(checkpoint.glob("optimizer_*"))  # FSDP writes a folder
    required = [WEIGHTS, STATE, TRAINER_STATE, "scheduler.pt", *([] if sharded else ["optimizer.pt"])]
    missing = [name for name in required if not (checkpoint / name).is_file()]
    if missing or not any(checkpoint.glob("rng_state*.pth")):
        return f"{[*missing, 'rng_state.pth'][0]} is missing"
    for path in sorted(checkpoint.iterdir()):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, "np"):
                    pass
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix in (".pt", ".pth"):
                with zipfile.ZipFile(path) as archive:
                    if archive.testzip() is not None:
                        return f"{path.name} is corrupt"
        except (OSError, ValueError, SafetensorError, zipfile.BadZipFile, EOFError) as error:
            return f"{path.name} cannot be read: {first_line(error)}"
    return ""


def keep_newest_and_best(newest: Path, best: Path) -> None:
    """Mark the newest checkpoint as complete and delete all others except the best one.

    The marker holds the digest of every file, and is written after all of them have reached the disk.
    """
    files = sorted(path for path in newest.rglob("*") if path.is_file() and path.name != COMPLETE)
    for path in files:
        sync(path)
    for folder in {path.parent for path in files}:
        sync(folder)
    digests = {str(path.relative_to(newest)): file_digest(path) for path in files}
    write_atomic(newest / COMPLETE, json.dumps({"files": digests}, indent=1))
    for folder in (newest, newest.parent, newest.parent.parent):  # the names of the checkpoint and of its stage
        sync(folder)
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

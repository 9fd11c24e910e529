"""Renaming a run, moving it to the bin, and its note; none of them touches a run that a process is writing to."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.runs.command import STUDY, command_with_run, name_of
from nsad_cli.runs.run import Run, check_name, choose_run, chosen_run, list_runs, runs_home
from nsad_cli.utils.files import make_folder, write_atomic, write_error

if TYPE_CHECKING:
    from pathlib import Path

BIN = ".bin"
"""The folder beside the runs that removed runs are moved to."""


def move_to_bin(run: Run) -> Path:
    """Move a run's folder to the bin, from where it can be moved back by hand.

    Returns:
        Its folder in the bin.

    Raises:
        UsageError: Other runs use its store of rationales.
        NsadError: A process is writing to it, or it cannot be moved.
    """
    _require_own_store(run)
    folder = runs_home() / BIN
    make_folder(folder)
    stamped = f"{run.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    target = folder / stamped
    number = 1
    while os.path.lexists(target):
        number += 1
        target = folder / f"{stamped}-{number}"
    chosen = chosen_run()
    _move(run, target)
    if chosen is not None and chosen.name == run.name:
        choose_run(None)
    return target


def rename_run(run: Run, name: str) -> Run:
    """Give a run another name. Its recorded commands get it too, so that they resume this run.

    Returns:
        The run under its new name.

    Raises:
        UsageError: The name is not valid or taken, the run belongs to a study, which would train it again, or other
            runs use its store of rationales.
        NsadError: A process is writing to it, or it cannot be moved.
    """
    check_name(name)
    target = runs_home() / name
    if os.path.lexists(target):
        raise UsageError(f"`{name}` exists already", f"{target} is there", "choose another name")
    _require_own_store(run)
    manifest = run.manifest()
    if name_of(manifest.get("command")) == STUDY:
        raise UsageError(
            f"run `{run.name}` belongs to a study", "the study finds its runs by their names", "keep its name"
        )
    manifest["name"] = name
    for record in (manifest, *manifest["stages"].values()):
        if "command" in record:
            record["command"] = command_with_run(record["command"], name)
    chosen = chosen_run()
    _move(run, target)
    renamed = Run(target)
    with renamed.lock():
        write_atomic(target / "manifest.json", json.dumps(manifest, indent=1))
    if chosen is not None and chosen.name == run.name:
        choose_run(name)
    return renamed


def set_note(run: Run, text: str | None) -> None:
    """Set a run's note; None or blank text deletes it.

    Raises:
        NsadError: A process is writing to the run, or the manifest cannot be written.
    """
    with run.lock():
        manifest = run.manifest()
        manifest.pop("note", None)
        if text is not None and text.strip():
            manifest["note"] = text.strip()
        write_atomic(run.path / "manifest.json", json.dumps(manifest, indent=1))


def _move(run: Run, target: Path) -> None:
    with run.lock():
        try:
            run.path.rename(target)
        except OSError as error:
            raise write_error(target, error) from error


def _require_own_store(run: Run) -> None:
    """Raise UsageError if another run's rationales lie in the run's folder."""
    inside = run.path.resolve()
    for other in list_runs():
        try:
            uses = other.name != run.name and inside in other.store_path.resolve().parents
        except NsadError:  # a damaged manifest
            continue
        if uses:
            raise UsageError(
                f"run `{run.name}` holds the rationales of run `{other.name}`",
                f"{other.name} uses {other.store_path}",
                f"remove or rename {other.name} first, or keep {run.name}",
            )

"""The base model of a run: its fingerprint, recorded in base.json, is part of every key of a stage and of chains."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import stages
from nsad_cli.errors import NsadError, first_line
from nsad_cli.models.base_fingerprint import fingerprint
from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.files import folder_digest, weights_digest, write_atomic
from nsad_cli.utils.hub import cached_commit
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run

FILE = "base.json"
SMOLLM2 = "smollm2"


def base_key(run: Run, recipe: Recipe) -> str:
    """Return what keys say of the base: its fingerprint.

    A run of an earlier version had the model's spec in its keys. It adopts the base that is found now, with a note, and
    keeps its keys for as long as the base stays the same.
    """
    spec = recipe.student.model
    recorded = _recorded(run).get(spec)
    current = _current(spec, known=recorded is not None)
    if recorded is None:
        if current is None:
            return spec
        recorded = _record(run, spec, current)
    if recorded["adopted"] and current in (None, recorded["fingerprint"]):
        return spec
    return current or str(recorded["fingerprint"])


def base_fingerprint(run: Run, recipe: Recipe) -> str | None:
    """Return the fingerprint of the base as it is now; the recorded one if the base is not at hand."""
    recorded = _recorded(run).get(recipe.student.model, {})
    return _current(recipe.student.model, known=bool(recorded)) or recorded.get("fingerprint")


def assume_base(run: Run, spec: str) -> None:
    """Record a base that is not at hand by its spec, so that keys do not fetch it; only for a plan's copy of a run."""
    known = _recorded(run)
    if spec not in known:
        write_atomic(run.path / FILE, json.dumps({**known, spec: {"fingerprint": spec, "adopted": False}}))


def require_intact(run: Run, recipe: Recipe, name: str) -> None:
    """Check that an adapter and the base below it are those of its training.

    Raises:
        NsadError: Either has changed, or files are missing.
    """
    again = f"train it again with `{stages()[name].command_line} --run {run.name} --force`"
    reason = adapter_damage(run, name)
    if reason:
        raise NsadError(f"run `{run.name}`: the {name} adapter is damaged", reason, f"restore its folder, or {again}")
    base_key(run, recipe)  # a run of an earlier version adopts its base
    spec = recipe.student.model
    recorded = _recorded(run).get(spec, {}).get("fingerprint")
    trained_on = run.stages().get(name, {}).get("result", {}).get("base") or recorded
    current = _current(spec, known=trained_on is not None)
    if trained_on is not None and current not in (None, trained_on):
        raise NsadError(
            f"run `{run.name}`: the base `{spec}` is not the one that {name} was trained on",
            "its weights have another fingerprint",
            f"restore the base, or {again}",
        )


def is_intact(run: Run, name: str) -> bool:
    """Return whether a finished stage's adapter is whole; if not, a note gives the reason."""
    reason = adapter_damage(run, name)
    if reason:
        note(f"{name}: {reason}; it is trained again")
    return not reason


def adapter_damage(run: Run, name: str) -> str:
    """Return what is wrong with the files of a finished stage's adapter; empty if nothing is, or no digest is known."""
    result = run.stages().get(name, {}).get("result", {})
    expected = result.get("weights")
    if expected is None:
        return ""
    folder = run.adapter_path(name)
    if not any(folder.glob("*.safetensors")):
        return f"{folder} has no weights"
    # Earlier versions recorded the weights alone.
    digest, recorded = (folder_digest, result["files"]) if "files" in result else (weights_digest, expected)
    return "" if digest(folder) == recorded else f"files in {folder} are missing or have changed since the training"


def _recorded(run: Run) -> dict[str, dict[str, Any]]:
    path = run.path / FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise NsadError(
            f"run `{run.name}` has an unreadable record of its base",
            f"{path}: {first_line(error)}",
            "restore the file; or delete it if the base has not changed since the run was trained",
        ) from error


def _record(run: Run, spec: str, current: str) -> dict[str, Any]:
    """Record a base that is used for the first time, as adopted if an earlier version has used it without a record."""
    known, states = _recorded(run), {}
    if spec in known:  # another process has recorded it meanwhile
        return dict(known[spec])
    with contextlib.suppress(NsadError):
        states = run.stages()
    trained = any(name in stages() and stages()[name].trains and state["state"] == "finished"
                  for name, state in states.items())  # fmt: skip
    adopted = not known and (trained or run.chains_path.is_file())
    record = {"fingerprint": current, "adopted": adopted}
    if is_main_process() and run.path.is_dir():
        if adopted:
            note(f"run {run.name}: made by an earlier version; its base is taken to be `{spec}` as it is now")
        with contextlib.suppress(NsadError):  # the run can be on a read-only file system
            write_atomic(run.path / FILE, json.dumps({**known, spec: record}, indent=1))
    return record


def _current(spec: str, *, known: bool) -> str | None:
    """Return the fingerprint of the base as it is now.

    Args:
        spec: The student's spec.
        known: Whether a fingerprint is recorded: the base is then not fetched if it is not at hand.
    """
    found = _at_hand(spec)
    if found is None and not known:
        with contextlib.suppress(NsadError):  # reported when the base is loaded
            _fetch(spec)
            found = _at_hand(spec)
    return found


def _at_hand(spec: str) -> str | None:
    path = Path(spec).expanduser()
    if path.is_dir():
        return fingerprint(path)
    if spec == SMOLLM2:
        from nsad_cli.models.smollm2 import smollm2_cache

        folder = smollm2_cache()
        return fingerprint(folder) if folder is not None and folder.is_dir() else None
    commit = cached_commit(spec)
    return f"hub:{commit}" if commit is not None else None


def _fetch(spec: str) -> None:
    """Convert SmolLM2, or fetch a Hub model's config, which names its commit."""
    from nsad_cli.models.student import load_student

    load_student(spec, device="cpu", weights=False)

"""The manifest of a run, manifest.json: reading it, with checks of its shape, and the versions that it records."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 2
"""The version of the folder's layout; a run with another version raises an error."""
LIBRARIES = ("torch", "transformers", "peft", "accelerate")
SHAPE: dict[str, tuple[type, ...]] = {
    "created": (int, float),
    "versions": (dict,),
    "store": (str, type(None)),
    "stages": (dict,),
}
"""The types of the fields, all of which may be used by any command."""
STAGE_SHAPE: dict[str, tuple[type, ...]] = {
    "state": (str,),
    "key": (str,),
    "started": (int, float),
    "seconds": (int, float),
    "result": (dict,),
}
"""The types of a stage's fields, of which only the state is required."""


def read_manifest(path: Path, run_name: str) -> dict[str, Any]:
    """Read a run's manifest.

    Args:
        path: The file.
        run_name: The run's name, for errors.

    Raises:
        NsadError: It is not a regular file, is malformed, or another version of NSAD created it.
    """
    try:
        if path.exists() and not path.is_file():  # reading a named pipe would never end
            raise ValueError("not a regular file")
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or "format" not in manifest:
            raise ValueError("it has no `format`")
        if manifest["format"] == FORMAT:
            _check_shape(manifest)
    except (OSError, ValueError, RecursionError) as error:
        raise NsadError(
            f"run `{run_name}` cannot be read",
            f"{path}: {error}",
            "restore the file, or start again under another name with --run",
        ) from error
    if manifest["format"] != FORMAT:
        recorded = manifest.get("versions")
        maker = recorded.get("nsad", "unknown") if isinstance(recorded, dict) else "unknown"
        raise NsadError(
            f"run `{run_name}` has format {manifest['format']}, this version reads {FORMAT}",
            f"NSAD {maker} created it, this is {__version__}",
            f"use NSAD {maker} for it, or start a new run with --run NAME",
        )
    return manifest


def _check_shape(manifest: dict[str, Any]) -> None:
    """Raise ValueError if a field is missing or has another type."""
    for field, types in SHAPE.items():
        if not isinstance(manifest.get(field, ...), types):
            raise ValueError(f"`{field}` is missing or malformed")
    for name, stage in manifest["stages"].items():
        if not isinstance(stage, dict) or not isinstance(stage.get("state"), str):
            raise ValueError(f"the stage `{name}` is malformed")
        wrong = [
            field for field, types in STAGE_SHAPE.items() if field in stage and not isinstance(stage[field], types)
        ]
        if wrong:
            raise ValueError(f"`{wrong[0]}` of the stage `{name}` is malformed")


def versions() -> dict[str, str]:
    """Return the versions of NSAD, Python and the libraries that results depend on."""
    found = {"nsad": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found

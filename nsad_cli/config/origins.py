"""Where each setting's value comes from: the default, the user's file, a recipe, or a variable."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nsad_cli.config.recipe_diff import flat
from nsad_cli.config.recipes import load_recipe, read_yaml, user_config_path

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {
    "NSAD_STUDENT": "student.model",
    "NSAD_DEVICE": "student.device",
    "NSAD_DTYPE": "student.dtype",
    "NSAD_TEACHER": "teacher.spec",
}
"""The variables that replace a setting, as the options of the same name do."""
DEFAULT = "default"


def origins(recipe: Path | None) -> dict[str, tuple[str, str]]:
    """Return each setting's value, as JSON, and its source, by dotted name.

    Args:
        recipe: A recipe file; None for the defaults and the user's file.

    Raises:
        UsageError: A file or a variable's value is invalid.
    """
    overrides = {key: os.environ[name] for name, key in VARIABLES.items() if os.environ.get(name)}
    values = flat(load_recipe(recipe, overrides).model_dump(mode="json"))
    sources = dict.fromkeys(values, DEFAULT)
    for path in (user_config_path(), recipe):
        if path is not None and path.is_file():
            sources |= {key: str(path) for key in flat(read_yaml(path)) if key in values}
    sources |= {key: name for name, key in VARIABLES.items() if key in overrides}
    return {key: (value, sources[key]) for key, value in values.items()}

"""Loading of recipes, YAML files given by path or by the name of a shipped recipe, in layers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nsad_cli.config.schema import RankerConfig
from nsad_cli.config.stages import RANKER
from nsad_cli.config.validation import check_held_out, validate_recipe
from nsad_cli.errors import UsageError, did_you_mean, first_line

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe

MAX_VALUES = 100_000
"""Values of a recipe, aliases expanded: a shipped one has some hundred."""


def recipe_folder() -> Path:
    """Return the folder of the shipped recipes: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Return the paths of the shipped recipes by name."""
    return {path.stem: path for path in sorted(recipe_folder().glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """Find a recipe by path, else by the name of a shipped one.

    Raises:
        UsageError: There is no such recipe; the message lists the shipped ones.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    why = "no file of that path, and no shipped recipe of that name"
    if path.is_dir():
        why = "it is a folder"
    hint = did_you_mean(name, shipped)
    raise UsageError(
        f"recipe `{name}` not found",
        why,
        f"{hint + ' ' if hint else ''}shipped: {', '.join(shipped)}; or give a path to a YAML file",
    )


def user_config_path() -> Path:
    """Return the path of the user's defaults, a partial recipe: $XDG_CONFIG_HOME/nsad/config.yaml."""
    root = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(root) / "nsad" / "config.yaml"


def load_recipe(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    stored: bool = False,
    of_run: bool = False,
) -> Recipe:
    """Load a recipe in layers: the user's config, the file, then the overrides.

    `${NAME}` in a value is replaced by the environment variable NAME; `$${` is an escaped `${`, for LaTeX.

    Args:
        path: The recipe file; None for the defaults only.
        overrides: Values by dotted key; None values are skipped.
        stored: The file is a run's own: it was valid when it was written, and may name a plugin that is gone.
        of_run: The file is a run's own; settings that it lacks, since an earlier version wrote it, get the values that
            that version behaved by.

    Returns:
        The recipe.

    Raises:
        UsageError: The file is missing or malformed, a key is unknown, a value is invalid, or a variable is unset.
    """
    values: dict[str, Any] = {}
    source = "flags"
    for layer in (user_config_path(), path):
        if layer is not None and (layer == path or layer.is_file()):
            own = read_yaml(layer)
            if "arms" in own:
                raise UsageError(f"{layer} is a study, not a recipe", "it has the key `arms`", f"nsad study {layer}")
            # Validate each layer on its own, so that an error names its file.
            validate_recipe(_expand(own, str(layer)), str(layer), whole=False)
            values = _merge(values, _with_earlier_values(own) if of_run and layer == path else own)
            source = str(layer)
    for key, value in (overrides or {}).items():
        if value is not None:
            own = _nested(key.split("."), value)
            validate_recipe(_expand(own, "flags"), "flags", whole=False)
            values = _merge(values, own)
    recipe = validate_recipe(_expand(values, source), source, whole=not stored)
    check_held_out(recipe.training, source)
    return recipe


def recipe_yaml(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML, including defaults."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _with_earlier_values(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in the ranker's settings that later versions added, with the values that earlier ones behaved by."""
    training, name = values.get("training"), RANKER.name
    if not isinstance(training, dict) or not isinstance(training.get(name), dict):
        return values
    ranker = {**RankerConfig.added_later, **training[name]}
    return {**values, "training": {**training, name: ranker}}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping of a recipe's or a study's file; variables are not replaced.

    Raises:
        UsageError: It cannot be read, is not YAML, or is no mapping of a recipe's size.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read recipe {path}", str(error), "give the path of a readable YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "the text is not YAML"
        raise UsageError(f"recipe {path} is not valid YAML{where}", str(problem), "correct that line") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, or nesting without end
        raise UsageError(f"recipe {path} cannot be read", first_line(error), "correct or remove that value") from error
    if values is None:
        return {}
    _check_size(values, path)
    if not isinstance(values, dict):
        raise UsageError(
            f"recipe {path} is not a mapping",
            f"its top level is a {type(values).__name__}",
            "write `section:` lines with settings below them",
        )
    return values


def _check_size(values: Any, path: Path) -> None:
    """Raise UsageError if aliases make the values larger than any recipe, or refer to themselves."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 1
        if id(value) in within:
            raise UsageError(f"recipe {path} refers to itself", "an alias is inside its own anchor", "remove the alias")
        if id(value) not in sizes:
            within.add(id(value))
            items = value.values() if isinstance(value, dict) else value
            sizes[id(value)] = 1 + sum(size(item) for item in items)
            within.discard(id(value))
        return sizes[id(value)]

    if size(values) > MAX_VALUES:
        raise UsageError(
            f"recipe {path} is too large", f"its aliases expand to over {MAX_VALUES:,} values", "write fewer aliases"
        )


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def _expand(value: Any, source: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, source) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, source) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$(\$\{)|\$\{(\w+)\}", lambda match: match[1] or _variable(match[2], source), value)
    return value


def _variable(name: str, source: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise UsageError(f"{source} needs the variable {name}", "it is not set", f"export {name}=…, then run again")
    return value

"""Settings of recipes by dotted name, and the difference of two."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UNSET = "–"


def settings(path: Path) -> dict[str, str]:
    """Read a recipe's settings by dotted name, each value as JSON.

    Raises:
        NsadError: The file cannot be read or is not a recipe.
    """
    import yaml

    fix = "restore the file"
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if not isinstance(value, dict):
            raise NsadError(f"{path} cannot be read", "it contains no settings", fix)
        return flat(value)
    except OSError as error:
        raise NsadError(f"{path} cannot be read", error.strerror or str(error), fix) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NsadError(f"{path} cannot be read", f"it is not YAML ({first_line(error)})", fix) from error


def flat(values: Mapping[Any, Any]) -> dict[str, str]:
    """Return nested settings by dotted name, each value as JSON."""
    return dict(_flat(values, ""))


def _flat(value: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        name = f"{prefix}{escape_controls(str(key))}"
        if isinstance(item, dict) and item:
            yield from _flat(item, f"{name}.")
        else:
            yield name, escape_controls(json.dumps(item, ensure_ascii=False, default=str))


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (setting, first value, second value) of each setting that differs; a dash for a missing value."""
    names = dict.fromkeys([*one, *other])
    return [(name, one.get(name, UNSET), other.get(name, UNSET)) for name in names if one.get(name) != other.get(name)]

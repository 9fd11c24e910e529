"""Plugins: objects that installed packages provide through entry points."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import first_line
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping


@functools.cache
def plugins(group: str) -> Mapping[str, Any]:
    """Load every entry point of a group, once per process.

    An entry point that fails to import is skipped with a warning of one line.

    Args:
        group: The name of the entry-point group, such as `nsad.teachers`.

    Returns:
        The loaded objects by entry-point name, sorted by name.
    """
    from importlib.metadata import entry_points  # `nsad --help` needs none

    found = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # plugins may raise anything
            package = entry.dist.name if entry.dist is not None else entry.value
            logger.warning(
                "plugin `%s` of %s (%s) cannot be loaded: %s: %s",
                entry.name,
                package,
                group,
                type(error).__name__,
                first_line(error),
            )
    return found

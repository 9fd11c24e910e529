"""Extensions that installed packages offer by entry points."""

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

    An entry point that fails to import is logged in one line and left out; the others work.

    Args:
        group: name of the entry-point group, such as `nsad.teachers`.

    Returns:
        The loaded objects by the names of their entry points, in the order of names.
    """
    from importlib.metadata import entry_points  # `nsad --help` needs none

    found = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # whatever the plugin's own code raises
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

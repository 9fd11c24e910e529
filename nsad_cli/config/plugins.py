"""Plugins: objects that installed packages provide through entry points. docs/plugins.md has examples."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import first_line
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

OBJECTIVES = "nsad.objectives"
"""Baselines: entries of the table of stages (config/stages.py)."""
TEACHERS = "nsad.teachers"
"""Teachers by the scheme of their spec (teachers/base.py)."""
PROBLEMS = "nsad.problems"
"""Readers of benchmarks by name (problems/base.py)."""
CHECKERS = "nsad.checkers"
"""Functions that decide pairs of answers that the built-in rules leave open (grading/checker.py)."""
RANKERS = "nsad.rankers"
"""Scorer classes by the kind of ranker (rankers/base.py)."""


@functools.cache
def _entries(group: str) -> Mapping[str, EntryPoint]:
    from importlib.metadata import entry_points  # `nsad --help` needs none

    return {entry.name: entry for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)}


def plugin_names(group: str) -> tuple[str, ...]:
    """Return the names of a group's entry points, without importing any plugin."""
    return tuple(_entries(group))


def plugin_versions(group: str) -> tuple[str, ...]:
    """Return `NAME VERSION` of a group's entry points, for keys of results that they affect."""
    return tuple(f"{name} {entry.dist.version if entry.dist else '?'}" for name, entry in _entries(group).items())


@functools.cache
def load_plugin(group: str, name: str) -> Any | None:
    """Load one entry point, once per process.

    Args:
        group: name of the entry-point group, such as `nsad.teachers`.
        name: name of the entry point.

    Returns:
        The loaded object; None if there is no such entry point, or if it fails to import, which is logged in one line.
    """
    entry = _entries(group).get(name)
    if entry is None:
        return None
    try:
        return entry.load()
    except Exception as error:  # a plugin may raise any exception
        package = entry.dist.name if entry.dist is not None else entry.value
        reason = f"{type(error).__name__}: {first_line(error)}"
        logger.warning("plugin `%s` of %s (%s) cannot be loaded: %s", name, package, group, reason)
        return None


def plugins(group: str) -> Mapping[str, Any]:
    """Load every entry point of a group; those that fail to import are left out.

    Returns:
        The loaded objects by entry-point name, sorted by name.
    """
    loaded = {name: load_plugin(group, name) for name in plugin_names(group)}
    return {name: value for name, value in loaded.items() if value is not None}

"""Division of a benchmark's problems by subject or level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Problem

Grouping = Literal["subject", "level"]
GROUPINGS: tuple[Grouping, ...] = ("subject", "level")


def grouped(problems: Sequence[Problem], by: Grouping | None) -> list[tuple[str | None, list[Problem]]]:
    """Divide problems by subject or level.

    Args:
        problems: The problems.
        by: What divides them; None for the total alone.

    Returns:
        The groups by name in alphabetical order, if there are several; then all problems, under None, if there are any.
    """
    groups: dict[str, list[Problem]] = {}
    for problem in problems if by is not None else ():
        groups.setdefault(problem.subject if by == "subject" else problem.level, []).append(problem)
    parts: list[tuple[str | None, list[Problem]]] = [*sorted(groups.items())] if len(groups) > 1 else []
    return [*parts, *([(None, list(problems))] if problems else [])]

"""Generated problems: each is determined by its index, and the hash of its text determines its split."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Protocol, TypeVar

from nsad_cli.types import problem_id

if TYPE_CHECKING:
    from collections.abc import Callable


class Generated(Protocol):
    """A generated exercise."""

    @property
    def question(self) -> str:
        """The text of the question."""


Item = TypeVar("Item", bound=Generated)


def hash_byte(question: str) -> int:
    """Return a number from 0 to 255 that is determined by a question."""
    return hashlib.sha256(question.encode()).digest()[0]


def first_exercises(make: Callable[[str], Item], belongs: Callable[[str], bool], count: int) -> tuple[Item, ...]:
    """Generate exercises until there are enough distinct ones; a larger count keeps the first ones.

    Args:
        make: Generates the exercise of an index.
        belongs: Whether a question belongs to the split.
        count: The number of exercises.
    """
    found: dict[str, Item] = {}
    for index in itertools.count():
        if len(found) == count:
            break
        item = make(f"{index}")
        if belongs(item.question):
            found.setdefault(problem_id(item.question), item)
    return tuple(found.values())

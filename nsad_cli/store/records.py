"""Rows of the store of rationales."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsad_cli.types import Draw, Problem, Verdict


@dataclass(frozen=True, slots=True)
class StoredDraw:
    """A draw with its key in the store and the gold answer of its problem."""

    key: int
    draw: Draw
    gold: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Draws that were handed to a batch API together: `lines` are its requests by their custom ids.

    An `id` that starts with UNSENT is ours: the API's own is not known yet, and whether there is one neither.
    """

    id: str
    lines: tuple[str, ...]
    owner: str
    """The process that hands it over."""
    created: float

    @property
    def sent(self) -> bool:
        """Whether the API has taken it, as far as we know."""
        return not self.id.startswith(UNSENT)


class ReviewSource(StrEnum):
    """Where a review came from: the random sample alone says something of draws that nobody has reviewed."""

    DISPUTED = "disputed"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class ReviewedLabel:
    """What the grader and a person say of one draw."""

    key: int
    name: str
    """Problem, teacher, parameters and number: the same wherever the draw is stored."""
    graded: Verdict
    queue: ReviewSource | None = None
    """None where nobody has seen it."""
    reviewed: Verdict | None = None
    """None where nobody has seen it, or who saw it skipped it."""


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A draw as a person needs it to settle its verdict."""

    problem: Problem
    teacher: str
    text: str
    answer: str | None
    """What the grader read as its answer."""
    reason: str


UNSENT = "unsent-"

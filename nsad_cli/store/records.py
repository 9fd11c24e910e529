"""Records of the store of rationales."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsad_cli.types import Draw, Problem, Verdict


@dataclass(frozen=True, slots=True)
class StoredDraw:
    """A draw, its key in the store, and the gold answer of its problem."""

    key: int
    draw: Draw
    gold: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that are submitted to a batch API together."""

    id: str
    """The API's id; a local one that starts with UNSENT until the API's is known."""
    lines: tuple[str, ...]
    """The custom ids of its requests."""
    owner: str
    """The process that submits it."""
    created: float
    """Unix time in seconds."""

    @property
    def sent(self) -> bool:
        """Whether the API is known to have accepted the batch."""
        return not self.id.startswith(UNSENT)


class ReviewSource(StrEnum):
    """The list that a reviewed draw was shown from; only the random sample allows estimates for unreviewed draws."""

    DISPUTED = "disputed"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class ReviewedLabel:
    """The verdicts of the grader and of a reviewer on one draw."""

    key: int
    name: str
    """Problem, teacher, parameters and number: identifies the draw in any store."""
    graded: Verdict
    """The grader's verdict."""
    queue: ReviewSource | None = None
    """None if the draw has not been reviewed."""
    reviewed: Verdict | None = None
    """None if the draw has not been reviewed, or was skipped."""


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """What a reviewer needs to see of a draw."""

    problem: Problem
    teacher: str
    text: str
    answer: str | None
    """The answer that the grader extracted."""
    reason: str
    """The grader's reason for its verdict."""


UNSENT = "unsent-"
"""Prefix of a batch's local id."""

"""State of a review session (queue, verdicts, undo), independent of any user interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.grading.review_statistics import unreviewed
from nsad_cli.store.records import ReviewedLabel, ReviewSource
from nsad_cli.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nsad_cli.store.rationales import Store

VERDICTS = {
    "c": Verdict.CORRECT,
    "w": Verdict.WRONG,
    "n": Verdict.NO_ANSWER,
    "g": Verdict.BAD_GOLD,
    "s": None,
}
"""The verdict that each key records; None skips the draw and leaves it to the grader."""
VERDICT_LABELS = {"c": "right", "w": "wrong", "n": "no answer", "g": "bad gold answer", "s": "skipped"}


@dataclass(frozen=True, slots=True)
class QueuedReview:
    """A draw to review, and its position in its queue (`number` of `total`, from 1)."""

    key: int
    queue: ReviewSource
    number: int
    total: int


def review_items(labels: Iterable[ReviewedLabel], sample: int = 0) -> list[QueuedReview]:
    """Build the list of draws to review.

    Args:
        labels: The labels of all draws.
        sample: How many random draws of D− follow the disputed ones.

    Returns:
        The disputed draws without a person's verdict, then the sample, both in the order of
        `review_statistics.unreviewed`.
    """
    labels = list(labels)
    parts = [
        (ReviewSource.DISPUTED, unreviewed(labels, ReviewSource.DISPUTED)),
        (ReviewSource.SAMPLE, unreviewed(labels, ReviewSource.SAMPLE, sample)),
    ]
    return [
        QueuedReview(label.key, queue, number, len(part))
        for queue, part in parts
        for number, label in enumerate(part, start=1)
    ]


class ReviewSession:
    """A reviewer's position in a list of draws; every verdict is written to the store at once.

    If the store cannot be written, its NsadError propagates and the position does not change.
    """

    def __init__(self, items: list[QueuedReview]) -> None:
        self.items, self.position = items, 0
        self.history: list[tuple[int, str]] = []
        """(position, key) of every recorded verdict, oldest first."""

    @property
    def item(self) -> QueuedReview | None:
        """The draw to review now; None after the last one."""
        return self.items[self.position] if self.position < len(self.items) else None

    @property
    def last(self) -> str | None:
        """The label of the latest verdict; None if there is none to undo."""
        return VERDICT_LABELS[self.history[-1][1]] if self.history else None

    @property
    def sample(self) -> int:
        """The position of the first sampled draw while the session is still before it; else 0."""
        first = next((position for position, item in enumerate(self.items) if item.queue is ReviewSource.SAMPLE), 0)
        return first if self.position < first else 0

    def record(self, store: Store, key: str) -> None:
        """Store the verdict for the current draw and advance to the next one.

        Args:
            store: The store to write to.
            key: One of the keys of `VERDICTS`.
        """
        if self.item is not None:
            store.reviews.record(self.item.key, VERDICTS[key], self.item.queue)
            self.history.append((self.position, key))
            self.position += 1

    def undo(self, store: Store) -> None:
        """Withdraw the latest verdict and return to its draw."""
        if self.history:
            position, _ = self.history[-1]
            store.reviews.remove(self.items[position].key)
            self.history.pop()
            self.position = position

    def skip_to_sample(self) -> None:
        """Advance to the first sampled draw, if it is still ahead."""
        self.position = self.sample or self.position

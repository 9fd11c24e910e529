"""Statistics of human reviews: how many draws graded wrong or disputed are actually right.

Both queues are reviewed in one random order, fixed by a hash of the draw's name, so that the reviewed draws are a
random sample however far the review has gone. Draws that are added later take their places in the same order.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.store.records import ReviewedLabel, ReviewSource
from nsad_cli.types import Verdict
from nsad_cli.utils.statistics import wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEED = 0
QUEUE_VERDICTS = {ReviewSource.DISPUTED: Verdict.DISPUTED, ReviewSource.SAMPLE: Verdict.WRONG}
"""The verdict by the grader of the draws in each queue."""


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """What the reviews of a random sample of draws imply for all draws of a queue."""

    draws: int
    """The number of draws in the queue."""
    outcomes: dict[str, int]
    """Reviewed draws by the person's verdict."""
    skipped: int
    unseen: int
    """Draws never shown although a later one in the order was reviewed; most likely they were added since."""

    @property
    def reviewed(self) -> int:
        """How many draws have a person's verdict."""
        return sum(self.outcomes.values())

    @property
    def right(self) -> int:
        """How many reviewed draws are right."""
        return self.outcomes.get(Verdict.CORRECT.value, 0)

    @property
    def estimate(self) -> float | None:
        """The estimated number of right draws in the queue; None if none is reviewed."""
        return self.right / self.reviewed * self.draws if self.reviewed else None

    @property
    def interval(self) -> tuple[int, int] | None:
        """The 95 % confidence interval of `estimate`, in whole draws, rounded outward; None if none is reviewed.

        Wilson's interval for the share (see `wilson`), limited to the numbers that the reviewed draws allow. It is
        conservative if a large part of the queue is reviewed, because it assumes a much larger population.
        """
        if not self.reviewed:
            return None
        low, high = wilson(self.right, self.reviewed)
        most = self.draws - (self.reviewed - self.right)
        return max(self.right, math.floor(low * self.draws)), min(most, math.ceil(high * self.draws))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; `estimate` and `ci95` are numbers of draws."""
        return {
            "draws": self.draws,
            "reviewed": self.reviewed,
            "right": self.right,
            "outcomes": self.outcomes,
            "skipped": self.skipped,
            "unseen": self.unseen,
            "estimate": None if self.estimate is None else round(self.estimate, 1),
            "ci95": None if self.interval is None else list(self.interval),
        }


def summarise_reviews(labels: Iterable[ReviewedLabel], queue: ReviewSource) -> ReviewSummary:
    """Summarise the reviews of a queue.

    Draws graded wrong that a person reviewed while they were disputed are left out: their verdicts are known, and they
    are not a random sample of the rest.

    Args:
        labels: The labels of all draws.
        queue: The queue to summarise.
    """
    members = _members(labels, queue)
    reviewed = [label for label in members if label.reviewed is not None]
    last = max(map(_order_key, reviewed), default=b"")
    return ReviewSummary(
        len(members),
        dict(Counter(label.reviewed.value for label in reviewed if label.reviewed is not None)),
        sum(label.queue is not None and label.reviewed is None for label in members),
        sum(label.queue is None and _order_key(label) < last for label in members),
    )


def unreviewed(labels: Iterable[ReviewedLabel], queue: ReviewSource, most: int | None = None) -> list[ReviewedLabel]:
    """Return the draws of a queue that have no person's verdict.

    Args:
        labels: The labels of all draws.
        queue: The queue.
        most: The maximum number to return.

    Returns:
        The draws in the fixed random order; those that were skipped come last.
    """
    remaining = [label for label in _members(labels, queue) if label.reviewed is None]
    return sorted(remaining, key=lambda label: (label.queue is not None, _order_key(label)))[:most]


def _members(labels: Iterable[ReviewedLabel], queue: ReviewSource) -> Sequence[ReviewedLabel]:
    return [
        label
        for label in labels
        if label.graded is QUEUE_VERDICTS[queue] and (label.reviewed is None or label.queue is queue)
    ]


def _order_key(label: ReviewedLabel) -> bytes:
    return hashlib.sha256(f"review:{SEED}:{label.name}".encode()).digest()

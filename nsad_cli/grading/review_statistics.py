"""What people's reviews say: how many of the draws that the grader calls wrong are really right, and of the disputed.

Both are reviewed in one random order, fixed for good by a hash of the draw's name: whoever reviews, however far, has
seen a random sample. Draws that come later take their places in the same order.
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
QUEUES = {ReviewSource.DISPUTED: Verdict.DISPUTED, ReviewSource.SAMPLE: Verdict.WRONG}
"""The grader's verdict on the draws of each queue."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What reviews of some draws say of all the draws that they are a random sample of."""

    draws: int
    """All of them."""
    outcomes: dict[str, int]
    """Those reviewed, by a person's verdict."""
    skipped: int
    unseen: int
    """Those that nobody has seen though a later one in the order was reviewed: most likely they are new."""

    @property
    def reviewed(self) -> int:
        """How many have a person's verdict."""
        return sum(self.outcomes.values())

    @property
    def right(self) -> int:
        """How many of those reviewed are right."""
        return self.outcomes.get(Verdict.CORRECT.value, 0)

    @property
    def estimate(self) -> float | None:
        """How many of all are right: the share among those reviewed, of all; None where none is reviewed."""
        return self.right / self.reviewed * self.draws if self.reviewed else None

    @property
    def interval(self) -> tuple[int, int] | None:
        """95 % interval of how many of all are right: Wilson's for the share (see wilson), in whole draws, outward.

        It holds no number that those reviewed rule out. Wide where a large part is reviewed, for it takes the sample
        as one from many more draws.
        """
        if not self.reviewed:
            return None
        low, high = wilson(self.right, self.reviewed)
        most = self.draws - (self.reviewed - self.right)
        return max(self.right, math.floor(low * self.draws)), min(most, math.ceil(high * self.draws))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `estimate` and `ci95` count draws."""
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


def findings(labels: Iterable[ReviewedLabel], queue: ReviewSource) -> Findings:
    """What the reviews of a queue say of its draws.

    Of the draws that the grader calls wrong those are left out whose verdict a person gave while they were disputed:
    they are known, and no random sample of the rest.
    """
    members = _members(labels, queue)
    reviewed = [label for label in members if label.reviewed is not None]
    last = max(map(_place, reviewed), default=b"")
    return Findings(
        len(members),
        dict(Counter(label.reviewed.value for label in reviewed if label.reviewed is not None)),
        sum(label.queue is not None and label.reviewed is None for label in members),
        sum(label.queue is None and _place(label) < last for label in members),
    )


def waiting(labels: Iterable[ReviewedLabel], queue: ReviewSource, most: int | None = None) -> list[ReviewedLabel]:
    """The draws of a queue without a person's verdict, in the random order; those that were skipped come last."""
    left = [label for label in _members(labels, queue) if label.reviewed is None]
    return sorted(left, key=lambda label: (label.queue is not None, _place(label)))[:most]


def _members(labels: Iterable[ReviewedLabel], queue: ReviewSource) -> Sequence[ReviewedLabel]:
    return [
        label for label in labels if label.graded is QUEUES[queue] and (label.reviewed is None or label.queue is queue)
    ]


def _place(label: ReviewedLabel) -> bytes:
    return hashlib.sha256(f"review:{SEED}:{label.name}".encode()).digest()

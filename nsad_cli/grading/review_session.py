"""A person settles verdicts: which draws wait, one key a verdict, and the way back; where it is shown is not said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.grading.review_statistics import waiting
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
"""What a key says; None leaves the draw to the grader."""
WORDS = {"c": "right", "w": "wrong", "n": "no answer", "g": "bad gold answer", "s": "skipped"}


@dataclass(frozen=True, slots=True)
class Item:
    """One draw to settle, and its place in its queue."""

    key: int
    queue: ReviewSource
    number: int
    total: int


def items(labels: Iterable[ReviewedLabel], sample: int = 0) -> list[Item]:
    """The disputed draws that wait for a person, then `sample` random ones of D−; see reviews.waiting for the order."""
    labels = list(labels)
    parts = [
        (ReviewSource.DISPUTED, waiting(labels, ReviewSource.DISPUTED)),
        (ReviewSource.SAMPLE, waiting(labels, ReviewSource.SAMPLE, sample)),
    ]
    return [
        Item(label.key, queue, number, len(part)) for queue, part in parts for number, label in enumerate(part, start=1)
    ]


class Settling:
    """A person's way through the draws, and back; every key goes to the store at once.

    Where the store cannot be written, its NsadError passes through and the place stays.
    """

    def __init__(self, items: list[Item]) -> None:
        self.items, self.place = items, 0
        self.settled: list[tuple[int, str]] = []
        """Places and keys, the last one last."""

    @property
    def item(self) -> Item | None:
        """The draw to settle now; None behind the last one."""
        return self.items[self.place] if self.place < len(self.items) else None

    @property
    def last(self) -> str | None:
        """What was said last, in words."""
        return WORDS[self.settled[-1][1]] if self.settled else None

    @property
    def sample(self) -> int:
        """Where the sample begins, while disputed draws stand before it; else 0."""
        first = next((place for place, item in enumerate(self.items) if item.queue is ReviewSource.SAMPLE), 0)
        return first if self.place < first else 0

    def settle(self, store: Store, key: str) -> None:
        """Say one of VERDICTS' keys of the draw, and go on."""
        if self.item is not None:
            store.reviews.record(self.item.key, VERDICTS[key], self.item.queue)
            self.settled.append((self.place, key))
            self.place += 1

    def undo(self, store: Store) -> None:
        """Take the last verdict back, and go back to its draw."""
        if self.settled:
            place, _ = self.settled[-1]
            store.reviews.remove(self.items[place].key)
            self.settled.pop()
            self.place = place

    def jump(self) -> None:
        """On to the sample, where there is one further on."""
        self.place = self.sample or self.place

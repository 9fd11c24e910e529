"""Store → verdicts; D+ and D−, and the ledger of what became of every draw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from nsad_cli.grading.verdicts import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.grading.checker import Checker
    from nsad_cli.store.rationales import Store

GRADER_VERSION = "5"
"""Raise it when a verdict could change: stored draws are then graded again, never asked again."""
CHUNK = 512


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Draws counted by (teacher, subject, verdict); a person's verdict goes before the grader's."""

    rows: tuple[tuple[str, str, str, int], ...]

    def by_verdict(self) -> dict[str, int]:
        """Draws of each verdict."""
        counts: Counter[str] = Counter()
        for _, _, verdict, number in self.rows:
            counts[verdict] += number
        return dict(counts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: totals by verdict, their shares of all draws, and every row."""
        names, verdicts = ("teacher", "subject", "verdict", "draws"), self.by_verdict()
        draws = sum(verdicts.values())
        return {
            "draws": draws,
            "verdicts": verdicts,
            "shares": {verdict: number / draws for verdict, number in verdicts.items()},
            "rows": [dict(zip(names, row, strict=True)) for row in self.rows],
        }


def ledger(store: Store, params: str | None = None) -> VerdictCounts:
    """What became of the draws made with `params`, or of all of the store's, as it is now."""
    return VerdictCounts(tuple(store.verdicts.counts(params)))


def grade(
    store: Store,
    checker: Checker,
    on_progress: Callable[[int, int], None] = lambda *_: None,
    *,
    params: str | None = None,
) -> VerdictCounts:
    """Judge every draw that this version of the grader has not judged; each chunk is committed when it is done.

    The ledger counts the draws made with `params`, or all of the store's.
    """
    waiting = store.verdicts.ungraded(GRADER_VERSION)
    total, done = store.counts()["draws"], 0
    while chunk := list(islice(waiting, CHUNK)):
        judged = judge([(item.draw.text, item.gold, item.draw.finish) for item in chunk], checker)
        store.verdicts.record(zip((item.key for item in chunk), judged, strict=True), GRADER_VERSION)
        done += len(chunk)
        on_progress(done, total)
    return ledger(store, params)

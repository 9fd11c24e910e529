"""Grade the draws of a store, and count them by verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from nsad_cli.config.plugins import CHECKERS, plugin_versions
from nsad_cli.grading.stored_steps import record_steps, right_with_wrong_step
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nsad_cli.grading.checker import Checker
    from nsad_cli.store.rationales import Store

GRADER_VERSION = "7"
"""Increase it when a verdict could change: stored draws are then graded again, without new requests to the teacher."""
CHUNK_SIZE = 512
"""Draws that are graded and committed together."""


def grader_version() -> str:
    """Return the version of the grader, which names the plugins that take part with their versions."""
    return "+".join((GRADER_VERSION, *plugin_versions(CHECKERS)))


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Draws counted by (teacher, subject, verdict); a person's verdict overrides the grader's."""

    rows: tuple[tuple[str, str, str, int], ...]
    wrong_steps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Right draws that contain a wrong step, by (teacher, subject)."""

    def by_verdict(self) -> dict[str, int]:
        """Return the number of draws of each verdict."""
        counts: Counter[str] = Counter()
        for _, _, verdict, number in self.rows:
            counts[verdict] += number
        return dict(counts)

    def as_dict(self) -> dict[str, Any]:
        """Return totals by verdict, their shares of all draws, and every row, for JSON."""
        verdicts = self.by_verdict()
        draws = sum(verdicts.values())
        return {
            "draws": draws,
            "verdicts": verdicts,
            "shares": {verdict: number / draws for verdict, number in verdicts.items()},
            "right_with_wrong_step": sum(self.wrong_steps.values()),
            "rows": [self._row(*row) for row in self.rows],
        }

    def _row(self, teacher: str, subject: str, verdict: str, draws: int) -> dict[str, Any]:
        slips = self.wrong_steps.get((teacher, subject), 0) if verdict == Verdict.CORRECT else 0
        return {
            "teacher": teacher,
            "subject": subject,
            "verdict": verdict,
            "draws": draws,
            "right_with_wrong_step": slips,
        }


def count_verdicts(store: Store, params: str | None = None) -> VerdictCounts:
    """Count a store's draws by their current verdict, and the right ones that contain a wrong step.

    Args:
        store: The store.
        params: Count only draws made with these sampling parameters; None counts all.
    """
    slips = Counter((draw.teacher, draw.subject) for draw in right_with_wrong_step(store, params))
    return VerdictCounts(tuple(store.verdicts.counts(params)), slips)


def grade(
    store: Store,
    checker: Checker,
    on_progress: Callable[[int, int], None] = lambda *_: None,
    *,
    params: str | None = None,
) -> VerdictCounts:
    """Grade every draw that this version of the grader has not graded; each chunk is committed when it is done.

    Args:
        store: The store, open for writing.
        checker: Decides the equivalence of answers.
        on_progress: Called with (graded draws, all draws) after each chunk.
        params: Count only draws made with these sampling parameters; None counts all. All draws are graded either way.

    Returns:
        The counts after grading.
    """
    ungraded = store.verdicts.ungraded(grader_version())
    total, done = store.counts()["draws"], 0
    while chunk := list(islice(ungraded, CHUNK_SIZE)):
        grades = grade_texts([(item.draw.text, item.gold, item.draw.finish) for item in chunk], checker)
        store.verdicts.record(zip((item.key for item in chunk), grades, strict=True), grader_version())
        right = [
            (item.key, item.draw.text)
            for item, found in zip(chunk, grades, strict=True)
            if found.verdict is Verdict.CORRECT
        ]
        record_steps(store, right)
        done += len(chunk)
        on_progress(done, total)
    return count_verdicts(store, params)

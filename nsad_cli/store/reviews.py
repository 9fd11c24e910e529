"""Reviews: verdicts that a person has given on draws; they take precedence over the grader's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nsad_cli.store.records import ReviewedLabel, ReviewItem, ReviewSource
from nsad_cli.store.tables import GRADED_DRAWS, PROBLEM_COLUMNS, SKIPPED
from nsad_cli.types import Problem, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

    from nsad_cli.store.sqlite import Database


class Reviews:
    """The reviews of one store."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, key: int, verdict: Verdict | None, source: ReviewSource) -> None:
        """Record a person's verdict on a draw, in place of an earlier one.

        Args:
            key: The draw's key in the store.
            verdict: The verdict; None records that the draw was skipped, so that the grader's verdict holds.
            source: The list that the draw was shown from.
        """
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO reviews (draw_id, verdict, created, queue) VALUES (?,?,?,?)",
                (key, SKIPPED if verdict is None else verdict.value, time.time(), source.value),
            )

    def remove(self, key: int) -> None:
        """Remove a person's verdict on a draw; the grader's holds again."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM reviews WHERE draw_id = ?", (key,))

    def labels(
        self, params: str, graded: Collection[Verdict] = (Verdict.WRONG, Verdict.DISPUTED)
    ) -> list[ReviewedLabel]:
        """List the draws that can be reviewed, each with the grader's verdict and the review.

        Args:
            params: Include only draws made with these parameters.
            graded: Include only draws to which the grader gave one of these verdicts.
        """
        rows = self._db.execute(
            f"SELECT d.id, d.problem_id, d.teacher, d.number, v.verdict, r.queue, r.verdict FROM {GRADED_DRAWS}"
            f" WHERE d.params = ? AND v.verdict IN ({','.join('?' * len(graded))}) ORDER BY d.id",
            (params, *graded),
        )
        return [
            ReviewedLabel(
                row[0],
                f"{row[1]}:{row[2]}:{params}:{row[3]}",
                Verdict(row[4]),
                None if row[5] is None else ReviewSource(row[5]),
                None if row[6] in (None, SKIPPED) else Verdict(row[6]),
            )
            for row in rows
        ]

    def item(self, key: int) -> ReviewItem:
        """Read all that a reviewer needs to see of a graded draw."""
        row = self._db.execute(
            f"SELECT {PROBLEM_COLUMNS}, d.teacher, d.text, v.answer, v.reason FROM {GRADED_DRAWS}"
            " JOIN problems p ON p.id = d.problem_id WHERE d.id = ?",
            (key,),
        ).fetchone()
        return ReviewItem(Problem(*row[:8]), *row[8:])

"""Verdicts of the grader on the draws of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.store.records import StoredDraw
from nsad_cli.store.tables import GRADED_DRAWS, VERDICT
from nsad_cli.types import Draw, Finish, Grade, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nsad_cli.store.sqlite import Database

LABEL = "label"
"""The grader's name of a verdict that came with the draw, for problems without a gold answer; no version of the grader
replaces it."""


class Verdicts:
    """The verdicts of one store, each with the version of the grader that gave it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, grades: Iterable[tuple[int, Grade]], grader: str) -> None:
        """Record grades by the key of their draw, in place of earlier ones.

        Args:
            grades: Keys of draws and their grades.
            grader: The version of the grader, or LABEL.
        """
        with self._db.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO verdicts VALUES (?,?,?,?,?)",
                [(key, grade.verdict.value, grade.answer, grade.reason, grader) for key, grade in grades],
            )

    def clear(self, params: str) -> None:
        """Delete the verdicts on draws made with these parameters, except labels, so that they are graded again."""
        with self._db.transaction() as db:
            db.execute(
                "DELETE FROM verdicts WHERE grader <> ? AND draw_id IN (SELECT id FROM draws WHERE params = ?)",
                (LABEL, params),
            )

    def ungraded(self, grader: str) -> Iterator[StoredDraw]:
        """Iterate over the draws that have neither a label nor a verdict by this version, in a fixed order."""
        rows = self._db.execute(
            "SELECT d.id, d.problem_id, d.teacher, d.number, d.text, d.finish, d.prompt_tokens, d.completion_tokens,"
            " p.answer FROM draws d JOIN problems p ON p.id = d.problem_id LEFT JOIN verdicts v ON v.draw_id = d.id"
            " WHERE v.grader IS NOT ? AND v.grader IS NOT ? ORDER BY d.id",
            (grader, LABEL),
        ).fetchall()
        for row in rows:
            draw = Draw(row[1], row[2], row[3], row[4], Finish(row[5]), row[6], row[7])
            yield StoredDraw(row[0], draw, row[8])

    def counts(self, params: str | None = None) -> list[tuple[str, str, str, int]]:
        """Count draws by verdict, reviews included.

        Args:
            params: Count only draws made with these parameters; None counts all.

        Returns:
            Teacher, subject, verdict (or `ungraded`) and number of draws.
        """
        rows = self._db.execute(
            f"SELECT d.teacher, p.subject, COALESCE({VERDICT}, 'ungraded'), COUNT(*) FROM {GRADED_DRAWS}"
            " JOIN problems p ON p.id = d.problem_id WHERE ?1 IS NULL OR d.params = ?1"
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            (params,),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def of_teacher(self, teacher: str, params: str) -> dict[tuple[str, int], Verdict]:
        """Read the verdicts on a teacher's draws with these parameters, by problem id and draw number."""
        rows = self._db.execute(
            "SELECT d.problem_id, d.number, COALESCE(r.verdict, v.verdict) FROM draws d"
            " JOIN verdicts v ON v.draw_id = d.id LEFT JOIN reviews r ON r.draw_id = d.id"
            " WHERE d.teacher = ? AND d.params = ?",
            (teacher, params),
        )
        return {(row[0], row[1]): Verdict(row[2]) for row in rows}

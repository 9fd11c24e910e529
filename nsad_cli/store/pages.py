"""Reading the store page by page, for lists of many problems while other processes write to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.store.rationales import Store
from nsad_cli.store.sqlite import like_pattern
from nsad_cli.store.tables import GRADED_DRAWS, PROBLEM_COLUMNS, SKIPPED, VERDICT
from nsad_cli.types import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_QUESTION_LENGTH = 300
"""Characters of a question that are read for a list."""
PAGE_SIZE = 500
"""Problems in one query when all are read."""
READ_TIMEOUT_SECONDS = 0.2
"""Seconds to wait while another process writes."""
UNGRADED = "ungraded"


@dataclass(frozen=True, slots=True)
class ProblemQuery:
    """Conditions on problems; a condition that is empty or None holds for all."""

    words: str = ""
    """Words that must all occur in the question or the gold answer."""
    subject: str | None = None
    verdict: str | None = None
    """The verdict of at least one draw: a Verdict's value, or UNGRADED."""
    params: str | None = None
    """Consider only draws made with these parameters."""


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A problem in a list, with the number of its draws by verdict."""

    id: str
    question: str
    """The first MAX_QUESTION_LENGTH characters."""
    answer: str
    subject: str
    level: str
    draws: int
    right: int
    wrong: int

    @property
    def other(self) -> int:
        """The number of draws that are neither in D+ nor in D−."""
        return self.draws - self.right - self.wrong


@dataclass(frozen=True, slots=True)
class DrawRow:
    """A draw in a list, without its text."""

    key: int
    teacher: str
    number: int
    finish: str
    graded: str | None
    """The grader's verdict, None if the draw is not graded yet."""
    answer: str | None
    reason: str
    reviewed: str | None
    """A reviewer's verdict, or SKIPPED."""

    @property
    def verdict(self) -> str:
        """The verdict that holds: the reviewer's, else the grader's, else UNGRADED."""
        reviewed = None if self.reviewed == SKIPPED else self.reviewed
        return reviewed or self.graded or UNGRADED


class StorePages(Store):
    """A store that is only read, a page at a time."""

    def __init__(self, path: Path) -> None:
        """Open an existing store.

        Raises:
            NsadError: See Store.
        """
        super().__init__(path, read_only=True, lock_timeout=READ_TIMEOUT_SECONDS)

    def version(self) -> int:
        """A number that changes whenever another connection has written to the store; cheap to read."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def find(self, query: ProblemQuery) -> list[int]:
        """Find problems.

        Returns:
            Their numbers, to be passed to `page`, in the order in which the problems were added.
        """
        where, values = ["1"], []
        for word in query.words.split():
            where.append(r"(p.question LIKE ? ESCAPE '\' OR p.answer LIKE ? ESCAPE '\')")
            values += [like_pattern(word)] * 2
        if query.subject is not None:
            where.append("p.subject = ?")
            values.append(query.subject)
        if query.verdict is not None:
            has_verdict = f"{VERDICT} IS NULL" if query.verdict == UNGRADED else f"{VERDICT} = ?"
            values += [] if query.verdict == UNGRADED else [query.verdict]
            has_params = "" if query.params is None else " AND d.params = ?"
            values += [] if query.params is None else [query.params]
            where.append(f"p.id IN (SELECT d.problem_id FROM {GRADED_DRAWS} WHERE {has_verdict}{has_params})")
        sql = f"SELECT p.rowid FROM problems p WHERE {' AND '.join(where)} ORDER BY p.position"
        return [row[0] for row in self._db.execute(sql, values)]

    def page(self, numbers: Sequence[int], params: str | None = None) -> list[ProblemRow | None]:
        """Read problems and count their draws.

        Args:
            numbers: The problems, as `find` returns them.
            params: Count only draws made with these parameters.

        Returns:
            One row for each number, None for a problem that no longer exists.
        """
        rows = self._db.execute(
            f"SELECT p.rowid, p.id, substr(p.question, 1, {MAX_QUESTION_LENGTH}), p.answer, p.subject, p.level"
            f" FROM problems p WHERE p.rowid IN ({_placeholders(numbers)})",
            numbers,
        )
        found = {row[0]: row[1:] for row in rows}
        ids = [row[0] for row in found.values()]
        counted = self._db.execute(
            f"SELECT d.problem_id, COUNT(*), SUM({VERDICT} IS 'correct'), SUM({VERDICT} IS 'wrong') FROM {GRADED_DRAWS}"
            f" WHERE d.problem_id IN ({_placeholders(ids)}) AND (? IS NULL OR d.params = ?) GROUP BY 1",
            (*ids, params, params),
        )
        counts = {row[0]: row[1:] for row in counted}
        return [
            ProblemRow(*row, *counts.get(row[0], (0, 0, 0))) if (row := found.get(number)) else None
            for number in numbers
        ]

    def pages(self, numbers: Sequence[int], params: str | None = None) -> Iterator[ProblemRow]:
        """Iterate over many problems, reading them page by page."""
        for start in range(0, len(numbers), PAGE_SIZE):
            yield from filter(None, self.page(numbers[start : start + PAGE_SIZE], params))

    def problem(self, problem_id: str) -> Problem | None:
        """Read a problem; None if it does not exist."""
        row = self._db.execute(f"SELECT {PROBLEM_COLUMNS} FROM problems p WHERE p.id = ?", (problem_id,)).fetchone()
        return row and Problem(*row)

    def draws_of(self, problem_id: str, params: str | None = None) -> list[DrawRow]:
        """List a problem's draws by teacher and number."""
        rows = self._db.execute(
            "SELECT d.id, d.teacher, d.number, d.finish, v.verdict, v.answer, COALESCE(v.reason, ''), r.verdict"
            f" FROM {GRADED_DRAWS} WHERE d.problem_id = ? AND (? IS NULL OR d.params = ?)"
            " ORDER BY d.teacher, d.number, d.id",
            (problem_id, params, params),
        )
        return [DrawRow(*row) for row in rows]

    def text(self, key: int) -> str:
        """Read the text of a draw; empty if it no longer exists."""
        row = self._db.execute("SELECT text FROM draws WHERE id = ?", (key,)).fetchone()
        return row[0] if row else ""

    def subjects(self) -> list[str]:
        """List the subjects of the problems."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT subject FROM problems ORDER BY 1")]

    def draws_with_other_params(self, params: str | None) -> int:
        """Count the draws made with other parameters."""
        return int(self._db.execute("SELECT COUNT(*) FROM draws WHERE params <> ?", (params,)).fetchone()[0])


def _placeholders(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))

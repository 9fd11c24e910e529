"""The store read by the page, for lists that show any number of problems while others write to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.store.rationales import Store
from nsad_cli.store.sqlite import holding
from nsad_cli.store.tables import GRADED_DRAWS, PROBLEM_COLUMNS, SKIPPED, VERDICT
from nsad_cli.types import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SHORT = 300
"""Characters of a question that a list shows at most."""
PAGE = 500
"""Problems that are read at once where all are."""
READ_TIMEOUT_SECONDS = 0.2
"""Seconds that a list waits for the store."""
UNGRADED = "ungraded"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which problems: those whose question or gold answer has every word, of a subject, with a draw of a verdict.

    verdict: a Verdict's value or UNGRADED. params: count the draws made with these parameters alone; None all.
    """

    words: str = ""
    subject: str | None = None
    verdict: str | None = None
    params: str | None = None


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A problem in a list, with its draws counted."""

    id: str
    question: str
    """Its first SHORT characters."""
    answer: str
    subject: str
    level: str
    draws: int
    right: int
    wrong: int

    @property
    def other(self) -> int:
        """Draws that are neither in D+ nor in D−."""
        return self.draws - self.right - self.wrong


@dataclass(frozen=True, slots=True)
class DrawRow:
    """A draw in a list, without its text."""

    key: int
    teacher: str
    number: int
    finish: str
    graded: str | None
    """The grader's verdict, None where there is none yet."""
    answer: str | None
    reason: str
    reviewed: str | None
    """A person's verdict; SKIPPED where who saw it left it to the grader."""

    @property
    def verdict(self) -> str:
        """The one that holds: a person's, else the grader's, else UNGRADED."""
        said = None if self.reviewed == SKIPPED else self.reviewed
        return said or self.graded or UNGRADED


class StorePages(Store):
    """A store that is only read, a page at a time."""

    def __init__(self, path: Path) -> None:
        """Open a store that is there; see Store for errors."""
        super().__init__(path, read_only=True, patience=READ_TIMEOUT_SECONDS)

    def version(self) -> int:
        """A number that changes when somebody else has written to the store; costs next to nothing."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def find(self, wanted: Wanted) -> list[int]:
        """The numbers of the problems wanted, in the order in which they came; see page."""
        where, values = ["1"], []
        for word in wanted.words.split():
            where.append(r"(p.question LIKE ? ESCAPE '\' OR p.answer LIKE ? ESCAPE '\')")
            values += [holding(word)] * 2
        if wanted.subject is not None:
            where.append("p.subject = ?")
            values.append(wanted.subject)
        if wanted.verdict is not None:
            is_it = f"{VERDICT} IS NULL" if wanted.verdict == UNGRADED else f"{VERDICT} = ?"
            values += [] if wanted.verdict == UNGRADED else [wanted.verdict]
            of = "" if wanted.params is None else " AND d.params = ?"
            values += [] if wanted.params is None else [wanted.params]
            where.append(f"p.id IN (SELECT d.problem_id FROM {GRADED_DRAWS} WHERE {is_it}{of})")
        sql = f"SELECT p.rowid FROM problems p WHERE {' AND '.join(where)} ORDER BY p.position"
        return [row[0] for row in self._db.execute(sql, values)]

    def page(self, numbers: Sequence[int], params: str | None = None) -> list[ProblemRow | None]:
        """The problems of these numbers, in their order, with their draws counted; None for one that has gone."""
        rows = self._db.execute(
            f"SELECT p.rowid, p.id, substr(p.question, 1, {SHORT}), p.answer, p.subject, p.level"
            f" FROM problems p WHERE p.rowid IN ({_marks(numbers)})",
            numbers,
        )
        found = {row[0]: row[1:] for row in rows}
        ids = [row[0] for row in found.values()]
        counted = self._db.execute(
            f"SELECT d.problem_id, COUNT(*), SUM({VERDICT} IS 'correct'), SUM({VERDICT} IS 'wrong') FROM {GRADED_DRAWS}"
            f" WHERE d.problem_id IN ({_marks(ids)}) AND (? IS NULL OR d.params = ?) GROUP BY 1",
            (*ids, params, params),
        )
        counts = {row[0]: row[1:] for row in counted}
        return [
            ProblemRow(*row, *counts.get(row[0], (0, 0, 0))) if (row := found.get(number)) else None
            for number in numbers
        ]

    def pages(self, numbers: Sequence[int], params: str | None = None) -> Iterator[ProblemRow]:
        """Many problems, page after page."""
        for start in range(0, len(numbers), PAGE):
            yield from filter(None, self.page(numbers[start : start + PAGE], params))

    def problem(self, problem_id: str) -> Problem | None:
        """A problem whole."""
        row = self._db.execute(f"SELECT {PROBLEM_COLUMNS} FROM problems p WHERE p.id = ?", (problem_id,)).fetchone()
        return row and Problem(*row)

    def draws_of(self, problem_id: str, params: str | None = None) -> list[DrawRow]:
        """A problem's draws, by teacher and number."""
        rows = self._db.execute(
            "SELECT d.id, d.teacher, d.number, d.finish, v.verdict, v.answer, COALESCE(v.reason, ''), r.verdict"
            f" FROM {GRADED_DRAWS} WHERE d.problem_id = ? AND (? IS NULL OR d.params = ?) ORDER BY d.teacher, d.number, d.id",
            (problem_id, params, params),
        )
        return [DrawRow(*row) for row in rows]

    def text(self, key: int) -> str:
        """The text of a draw, empty where it has gone."""
        row = self._db.execute("SELECT text FROM draws WHERE id = ?", (key,)).fetchone()
        return row[0] if row else ""

    def subjects(self) -> list[str]:
        """The problems' subjects."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT subject FROM problems ORDER BY 1")]

    def draws_beside(self, params: str | None) -> int:
        """How many draws were made with other parameters."""
        return int(self._db.execute("SELECT COUNT(*) FROM draws WHERE params <> ?", (params,)).fetchone()[0])


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))

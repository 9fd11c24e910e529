"""The store: problems, draws and verdicts in SQLite; each draw exactly once, committed the moment it arrives."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from nsad_cli.database import connect
from nsad_cli.types import Draw, Finish, Judgement, Problem, Rationale, Verdict

FORMATS = (
    """
CREATE TABLE problems (
    id TEXT PRIMARY KEY, position INTEGER NOT NULL, benchmark TEXT NOT NULL, split TEXT NOT NULL,
    question TEXT NOT NULL, answer TEXT NOT NULL, solution TEXT, subject TEXT NOT NULL, level TEXT NOT NULL
);
CREATE TABLE draws (
    id INTEGER PRIMARY KEY, problem_id TEXT NOT NULL REFERENCES problems(id), teacher TEXT NOT NULL,
    params TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL,
    UNIQUE (problem_id, teacher, params, number)
);
CREATE TABLE verdicts (
    draw_id INTEGER PRIMARY KEY REFERENCES draws(id), verdict TEXT NOT NULL, answer TEXT, reason TEXT NOT NULL,
    grader TEXT NOT NULL
);
""",
    """
CREATE TABLE claims (
    problem_id TEXT NOT NULL, teacher TEXT NOT NULL, params TEXT NOT NULL, number INTEGER NOT NULL,
    owner TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (problem_id, teacher, params, number)
) WITHOUT ROWID;
CREATE TABLE reviews (
    draw_id INTEGER PRIMARY KEY REFERENCES draws(id), verdict TEXT NOT NULL, created REAL NOT NULL
);
CREATE TABLE batches (
    id TEXT PRIMARY KEY, teacher TEXT NOT NULL, params TEXT NOT NULL, base_url TEXT NOT NULL, state TEXT NOT NULL,
    requests TEXT NOT NULL, created REAL NOT NULL
);
""",
)
"""What each format of the file adds to the one before; see database.connect."""
LABEL = "label"
"""The grader of a verdict that came with the draw, where no gold answer is known: no grader's version outdates it."""
_PROBLEM = "p.id, p.question, p.answer, p.benchmark, p.split, p.solution, p.subject, p.level"


Live = Callable[[str, float], bool]
"""Whether the owner of a claim, made at a time, is still at work."""


@dataclass(frozen=True, slots=True)
class StoredDraw:
    """A draw with its key in the store and the gold answer of its problem."""

    key: int
    draw: Draw
    gold: str


class Store:
    """One SQLite file; several processes may write to it at once."""

    def __init__(self, path: Path) -> None:
        """Open or make the store.

        Raises NsadError for a file that cannot be opened, is no store, or has another version's format.
        """
        self.path = path
        self._db = connect(path, FORMATS, "store")

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # --- writing --------------------------------------------------------------------------------------------------

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Add problems that are not there yet, in order; a corrected gold answer takes its verdicts with it."""
        problems = list(problems)
        with self._db.writing() as db:
            db.executemany(
                "DELETE FROM verdicts WHERE draw_id IN (SELECT d.id FROM draws d JOIN problems p ON p.id = d.problem_id"
                " WHERE p.id = ? AND p.answer <> ?)",
                [(p.id, p.answer) for p in problems],
            )
            (position,) = db.execute("SELECT COALESCE(MAX(position) + 1, 0) FROM problems").fetchone()
            db.executemany(
                "INSERT INTO problems VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
                " answer = excluded.answer, solution = excluded.solution WHERE answer <> excluded.answer",
                [
                    (p.id, position + i, p.benchmark, p.split, p.question, p.answer, p.solution, p.subject, p.level)
                    for i, p in enumerate(problems)
                ],
            )

    def add_draws(self, draws: Iterable[Draw], params: str) -> int:
        """Add draws in one commit; one that is there already stays as it is. Returns how many are new."""
        with self._db.writing() as db:
            draws = list(draws)
            db.executemany(
                "DELETE FROM claims WHERE problem_id = ? AND teacher = ? AND params = ? AND number = ?",
                [(d.problem_id, d.teacher, params, d.index) for d in draws],
            )
            before = db.total_changes
            db.executemany(
                "INSERT INTO draws (problem_id, teacher, params, number, text, finish, prompt_tokens,"
                " completion_tokens, created) VALUES (?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT (problem_id, teacher, params, number) DO NOTHING",
                [
                    (
                        d.problem_id,
                        d.teacher,
                        params,
                        d.index,
                        d.text,
                        d.finish.value,
                        d.prompt_tokens,
                        d.completion_tokens,
                        time.time(),
                    )
                    for d in draws
                ],
            )
            return int(db.total_changes - before)

    def claim(
        self, teacher: str, params: str, wanted: Iterable[tuple[str, tuple[int, ...]]], owner: str, live: Live
    ) -> list[tuple[int, ...]]:
        """Claim draws before asking for them, in one commit: of each problem's numbers those that are now the owner's.

        The others are stored already, or claimed by somebody who is at work on them (`live`: owner, since when).
        """
        granted = []
        with self._db.writing() as db:
            for problem_id, numbers in wanted:
                key = (problem_id, teacher, params)
                where = "WHERE problem_id = ? AND teacher = ? AND params = ?"
                stored = {row[0] for row in db.execute(f"SELECT number FROM draws {where}", key)}
                claims = db.execute(f"SELECT number, owner, created FROM claims {where}", key).fetchall()
                taken = stored | {number for number, by, since in claims if by != owner and live(by, since)}
                granted.append(tuple(number for number in numbers if number not in taken))
                db.executemany(
                    "INSERT OR REPLACE INTO claims VALUES (?,?,?,?,?,?)",
                    [(*key, number, owner, time.time()) for number in granted[-1]],
                )
        return granted

    def release(self, owner: str) -> None:
        """Give up all claims of an owner."""
        with self._db.writing() as db:
            db.execute("DELETE FROM claims WHERE owner = ?", (owner,))

    def set_verdicts(self, verdicts: Iterable[tuple[int, Judgement]], grader: str) -> None:
        """Record verdicts by a draw's key, in place of earlier ones."""
        with self._db.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO verdicts VALUES (?,?,?,?,?)",
                [(key, j.verdict.value, j.answer, j.reason, grader) for key, j in verdicts],
            )

    def forget_verdicts(self, params: str) -> None:
        """Drop the verdicts on the draws made with these parameters, but for labels: they will be judged again."""
        with self._db.writing() as db:
            db.execute(
                "DELETE FROM verdicts WHERE grader <> ? AND draw_id IN (SELECT id FROM draws WHERE params = ?)",
                (LABEL, params),
            )

    # --- reading --------------------------------------------------------------------------------------------------

    def missing(self, problem_ids: Iterable[str], draws: int, teacher: str, params: str) -> dict[str, tuple[int, ...]]:
        """The draw numbers below `draws` that each problem still lacks; a problem that lacks none is left out."""
        where = "teacher = ? AND params = ? AND number < ?"
        rows = self._db.execute(
            f"SELECT problem_id, COUNT(*) FROM draws WHERE {where} GROUP BY problem_id", (teacher, params, draws)
        )
        counts, everything = dict(rows.fetchall()), tuple(range(draws))
        found = {}
        for pid in problem_ids:
            count = counts.get(pid, 0)
            if count == 0:
                found[pid] = everything
            elif count < draws:
                rows = self._db.execute(
                    f"SELECT number FROM draws WHERE problem_id = ? AND {where}", (pid, teacher, params, draws)
                )
                stored = {row[0] for row in rows}
                found[pid] = tuple(number for number in everything if number not in stored)
        return found

    def drawn(self, teacher: str, params: str) -> dict[str, int]:
        """How many draws each problem has of a teacher with its parameters."""
        where = "WHERE teacher = ? AND params = ? GROUP BY problem_id"
        return dict(self._db.execute(f"SELECT problem_id, COUNT(*) FROM draws {where}", (teacher, params)).fetchall())

    def lacking(self, teacher: str, params: str, positives: int, negatives: int) -> set[str]:
        """Problems that have draws, a usable gold answer, and too few right or wrong rationales."""
        rows = self._db.execute(
            "SELECT d.problem_id FROM draws d LEFT JOIN verdicts v ON v.draw_id = d.id"
            " WHERE d.teacher = ? AND d.params = ? GROUP BY d.problem_id"
            " HAVING SUM(v.verdict IS 'bad_gold') = 0"
            " AND (SUM(v.verdict IS 'correct') < ? OR SUM(v.verdict IS 'wrong') < ?)",
            (teacher, params, positives, negatives),
        )
        return {row[0] for row in rows}

    def problems(self) -> list[Problem]:
        """All problems, in the order in which they came."""
        return [_problem(row) for row in self._db.execute(f"SELECT {_PROBLEM} FROM problems p ORDER BY p.position")]

    def ungraded(self, grader: str) -> Iterator[StoredDraw]:
        """Draws without a label or a verdict by this grader's version, in a fixed order."""
        rows = self._db.execute(
            "SELECT d.id, d.problem_id, d.teacher, d.number, d.text, d.finish, d.prompt_tokens, d.completion_tokens,"
            " p.answer FROM draws d JOIN problems p ON p.id = d.problem_id LEFT JOIN verdicts v ON v.draw_id = d.id"
            " WHERE v.grader IS NOT ? AND v.grader IS NOT ? ORDER BY d.id",
            (grader, LABEL),
        ).fetchall()
        for row in rows:
            draw = Draw(row[1], row[2], row[3], row[4], Finish(row[5]), row[6], row[7])
            yield StoredDraw(row[0], draw, row[8])

    def draws(self, teacher: str, params: str) -> list[Draw]:
        """All draws of a teacher with its parameters: by problem in order, then by number."""
        rows = self._db.execute(
            "SELECT d.problem_id, d.teacher, d.number, d.text, d.finish, d.prompt_tokens, d.completion_tokens"
            " FROM draws d JOIN problems p ON p.id = d.problem_id WHERE d.teacher = ? AND d.params = ?"
            " ORDER BY p.position, d.number",
            (teacher, params),
        )
        return [Draw(row[0], row[1], row[2], row[3], Finish(row[4]), row[5], row[6]) for row in rows]

    def rationales(self, verdict: Verdict, *, teacher: str, params: str) -> list[Rationale]:
        """Rationales of one verdict by a teacher and its parameters: by problem in order, then by draw."""
        rows = self._db.execute(
            f"SELECT {_PROBLEM}, d.text, d.number FROM draws d JOIN problems p ON p.id = d.problem_id"
            " JOIN verdicts v ON v.draw_id = d.id WHERE v.verdict = ? AND d.teacher = ? AND d.params = ?"
            " ORDER BY p.position, d.number",
            (verdict.value, teacher, params),
        )
        return [Rationale(_problem(row[:8]), row[8], verdict, row[9]) for row in rows]

    def ledger(self, params: str | None = None) -> list[tuple[str, str, str, int]]:
        """Draws counted by (teacher, subject, verdict); `ungraded` where there is none.

        params: count the draws made with these parameters alone.
        """
        rows = self._db.execute(
            "SELECT d.teacher, p.subject, COALESCE(v.verdict, 'ungraded'), COUNT(*) FROM draws d"
            " JOIN problems p ON p.id = d.problem_id LEFT JOIN verdicts v ON v.draw_id = d.id"
            " WHERE ?1 IS NULL OR d.params = ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            (params,),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many problems, draws and verdicts there are."""
        return {
            table: self._db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("problems", "draws", "verdicts")
        }

    def draw_keys(self, teacher: str, params: str) -> dict[tuple[str, int], int]:
        """The keys of a teacher's draws with its parameters, by problem id and number."""
        rows = self._db.execute(
            "SELECT problem_id, number, id FROM draws WHERE teacher = ? AND params = ?", (teacher, params)
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def verdicts(self, teacher: str, params: str) -> dict[tuple[str, int], Verdict]:
        """The verdicts on a teacher's draws with its parameters, by problem id and number."""
        rows = self._db.execute(
            "SELECT d.problem_id, d.number, v.verdict FROM draws d JOIN verdicts v ON v.draw_id = d.id"
            " WHERE d.teacher = ? AND d.params = ?",
            (teacher, params),
        )
        return {(row[0], row[1]): Verdict(row[2]) for row in rows}


def _problem(row: sqlite3.Row | tuple[Any, ...]) -> Problem:
    return Problem(*row)

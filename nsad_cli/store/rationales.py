"""The store: problems, draws and verdicts in SQLite; each draw exactly once, committed the moment it arrives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from nsad_cli.store.batches import Batches
from nsad_cli.store.claims import Claims
from nsad_cli.store.reviews import Reviews
from nsad_cli.store.sqlite import LOCK_TIMEOUT_SECONDS, connect, connect_to_read
from nsad_cli.store.tables import FORMATS, GRADED_DRAWS, PROBLEM_COLUMNS, VERDICT
from nsad_cli.store.verdicts import Verdicts
from nsad_cli.types import Draw, Finish, Problem, Rationale, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType


class Store:
    """One SQLite file; several processes may write to it at once."""

    def __init__(self, path: Path, *, read_only: bool = False, patience: float = LOCK_TIMEOUT_SECONDS) -> None:
        """Open or make the store, or only read one that is there.

        patience: seconds to wait for another process's write.
        Raises NsadError for a file that cannot be opened, is no store, or has another version's format.
        """
        self.path = path
        self._db = (connect_to_read if read_only else connect)(path, FORMATS, "store", patience)
        self.claims = Claims(self._db)
        self.batches = Batches(self._db)
        self.verdicts = Verdicts(self._db)
        self.reviews = Reviews(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # --- writing --------------------------------------------------------------------------------------------------

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Add problems that are not there yet, in order; a corrected gold answer takes its verdicts with it, also
        those of people.
        """
        with self._db.writing() as db:
            known = dict(db.execute("SELECT id, answer FROM problems"))
            stated: dict[str, Problem] = {}
            for problem in problems:
                stated.setdefault(problem.id, problem)
            problems = [problem for problem in stated.values() if known.get(problem.id) != problem.answer]
            corrected = [(problem.id,) for problem in problems if problem.id in known]
            for table in ("verdicts", "reviews"):
                db.executemany(
                    f"DELETE FROM {table} WHERE draw_id IN (SELECT id FROM draws WHERE problem_id = ?)", corrected
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

    # --- reading --------------------------------------------------------------------------------------------------

    def missing(self, problem_ids: Iterable[str], draws: int, teacher: str, params: str) -> dict[str, tuple[int, ...]]:
        """The draw numbers below `draws` that each problem still lacks; a problem that lacks none is left out."""
        where = "teacher = ? AND params = ? AND number < ?"
        rows = self._db.execute(
            f"SELECT problem_id, COUNT(*), MAX(number) FROM draws WHERE {where} GROUP BY problem_id",
            (teacher, params, draws),
        )
        drawn = {pid: (count, last) for pid, count, last in rows}
        everything, found = tuple(range(draws)), {}
        for pid in problem_ids:
            count, last = drawn.get(pid, (0, -1))
            if count == last + 1:  # the first ones, as most often
                lacking = everything[count:]
            else:
                rows = self._db.execute(
                    f"SELECT number FROM draws WHERE problem_id = ? AND {where}", (pid, teacher, params, draws)
                )
                stored = {row[0] for row in rows}
                lacking = tuple(number for number in everything if number not in stored)
            if lacking:
                found[pid] = lacking
        return found

    def drawn(self, teacher: str, params: str) -> dict[str, int]:
        """How many draws each problem has of a teacher with its parameters."""
        where = "WHERE teacher = ? AND params = ? GROUP BY problem_id"
        return dict(self._db.execute(f"SELECT problem_id, COUNT(*) FROM draws {where}", (teacher, params)).fetchall())

    def mean_tokens(self, teacher: str, params: str) -> tuple[float, int]:
        """The mean of the tokens that a teacher wrote for a draw, and of how many: with these parameters, else any."""
        query = "SELECT AVG(completion_tokens), COUNT(*) FROM draws WHERE teacher = ? AND completion_tokens > 0"
        for more, values in ((" AND params = ?", (teacher, params)), ("", (teacher,))):
            mean, count = self._db.execute(query + more, values).fetchone()
            if count:
                break
        return float(mean or 0), int(count)

    def lacking(self, teacher: str, params: str, positives: int, negatives: int) -> set[str]:
        """Problems that have draws, a usable gold answer, and too few right or wrong rationales."""
        rows = self._db.execute(
            f"SELECT problem_id FROM (SELECT d.problem_id, {VERDICT} AS verdict FROM {GRADED_DRAWS}"
            " WHERE d.teacher = ? AND d.params = ?) GROUP BY problem_id"
            " HAVING SUM(verdict IS 'bad_gold') = 0"
            " AND (SUM(verdict IS 'correct') < ? OR SUM(verdict IS 'wrong') < ?)",
            (teacher, params, positives, negatives),
        )
        return {row[0] for row in rows}

    def problems(self) -> list[Problem]:
        """All problems, in the order in which they came."""
        return [
            Problem(*row) for row in self._db.execute(f"SELECT {PROBLEM_COLUMNS} FROM problems p ORDER BY p.position")
        ]

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
            f"SELECT {PROBLEM_COLUMNS}, d.text, d.number FROM {GRADED_DRAWS} JOIN problems p ON p.id = d.problem_id"
            f" WHERE {VERDICT} = ? AND d.teacher = ? AND d.params = ? ORDER BY p.position, d.number",
            (verdict.value, teacher, params),
        )
        return [Rationale(Problem(*row[:8]), row[8], verdict, row[9]) for row in rows]

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

"""The store of rationales: problems, the teacher's draws, and their verdicts, in one SQLite file.

A draw is one sample of a teacher. Its key is (problem, teacher, parameters, number), so it is stored at most once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from nsad_cli.store.batches import Batches
from nsad_cli.store.claims import Claims
from nsad_cli.store.copies import Copies
from nsad_cli.store.reviews import Reviews
from nsad_cli.store.sqlite import LOCK_TIMEOUT_SECONDS, connect, connect_to_read, is_write_protected
from nsad_cli.store.steps import Steps
from nsad_cli.store.tables import FORMATS, GRADED_DRAWS, PROBLEM_COLUMNS, VERDICT
from nsad_cli.store.verdicts import Verdicts
from nsad_cli.types import Draw, Finish, Problem, Rationale, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

MAX_INTEGER = 2**63 - 1
"""The largest integer of SQLite; a teacher of a plugin may state any number of tokens."""


class Store:
    """Problems and draws of one store, and as attributes its claims, batches, verdicts, reviews and checked steps.

    Several processes may write to the same store.
    """

    def __init__(self, path: Path, *, read_only: bool = False, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        """Open the store, or create it.

        Args:
            path: The SQLite file.
            read_only: Open an existing file without ever changing it; a write-protected one always is.
            lock_timeout: Seconds to wait while another process writes.

        Raises:
            NsadError: The file cannot be opened, is not a store, or has a newer version's format.
        """
        self.path = path
        self.read_only = read_only or is_write_protected(path)
        self._db = (connect_to_read if self.read_only else connect)(path, FORMATS, "store", lock_timeout)
        self.claims = Claims(self._db)
        self.batches = Batches(self._db)
        self.verdicts = Verdicts(self._db)
        self.reviews = Reviews(self._db)
        self.steps = Steps(self._db)
        self.copies = Copies(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # --- writing --------------------------------------------------------------------------------------------------

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Add problems that are not stored yet, in order.

        If the gold answer of a stored problem has changed, its verdicts and reviews are deleted.
        """
        with self._db.transaction() as db:
            stored_answers = dict(db.execute("SELECT id, answer FROM problems"))
            by_id: dict[str, Problem] = {}
            for problem in problems:
                by_id.setdefault(problem.id, problem)
            problems = [problem for problem in by_id.values() if stored_answers.get(problem.id) != problem.answer]
            corrected = [(problem.id,) for problem in problems if problem.id in stored_answers]
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

    def add_draws(self, draws: Iterable[Draw], params: str, *, durable: bool = True) -> int:
        """Add draws in one transaction and release the claims on them; a draw that is stored already is not replaced.

        Args:
            draws: The draws.
            params: The key of the teacher's parameters.
            durable: Whether to wait until the disk has them. Otherwise they are safe when `sync` has returned.

        Returns:
            The number of new draws.
        """
        with self._db.transaction(durable=durable or not self._db.has_log) as db:
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
                        min(d.prompt_tokens, MAX_INTEGER),
                        min(d.completion_tokens, MAX_INTEGER),
                        time.time(),
                    )
                    for d in draws
                ],
            )
            return int(db.total_changes - before)

    def sync(self) -> None:
        """Wait until the disk has all draws that were added; may be called in another thread.

        Raises:
            NsadError: The disk reports an error.
        """
        self._db.sync()

    # --- reading --------------------------------------------------------------------------------------------------

    def missing(self, problem_ids: Iterable[str], draws: int, teacher: str, params: str) -> dict[str, tuple[int, ...]]:
        """Find the draws that are not stored.

        Args:
            problem_ids: The problems.
            draws: How many draws each problem should have.
            teacher: The teacher's name.
            params: The key of the teacher's parameters.

        Returns:
            The missing draw numbers below `draws` by problem id; complete problems are left out.
        """
        where = "teacher = ? AND params = ? AND number < ?"
        rows = self._db.execute(
            f"SELECT problem_id, COUNT(*), MAX(number) FROM draws WHERE {where} GROUP BY problem_id",
            (teacher, params, draws),
        )
        stored_draws = {pid: (count, last) for pid, count, last in rows}
        wanted, found = tuple(range(draws)), {}
        for pid in problem_ids:
            count, last = stored_draws.get(pid, (0, -1))
            if count == last + 1:  # the usual case: numbers 0 to `last` without a gap
                missing = wanted[count:]
            else:
                rows = self._db.execute(
                    f"SELECT number FROM draws WHERE problem_id = ? AND {where}", (pid, teacher, params, draws)
                )
                stored = {row[0] for row in rows}
                missing = tuple(number for number in wanted if number not in stored)
            if missing:
                found[pid] = missing
        return found

    def draw_counts(self, teacher: str, params: str) -> dict[str, int]:
        """Count a teacher's draws with these parameters, by problem id."""
        where = "WHERE teacher = ? AND params = ? GROUP BY problem_id"
        return dict(self._db.execute(f"SELECT problem_id, COUNT(*) FROM draws {where}", (teacher, params)).fetchall())

    def mean_tokens(self, teacher: str, params: str) -> tuple[float, int]:
        """Average the completion tokens of a teacher's draws: those with these parameters, or all if there are none.

        Returns:
            The mean and the number of draws that it is taken over.
        """
        query = "SELECT AVG(completion_tokens), COUNT(*) FROM draws WHERE teacher = ? AND completion_tokens > 0"
        for condition, values in ((" AND params = ?", (teacher, params)), ("", (teacher,))):
            mean, count = self._db.execute(query + condition, values).fetchone()
            if count:
                break
        return float(mean or 0), int(count)

    def needing_draws(self, teacher: str, params: str, positives: int, negatives: int) -> set[str]:
        """Find problems with fewer than `positives` correct or `negatives` wrong rationales.

        Only problems that have draws and no `bad_gold` verdict count.
        """
        rows = self._db.execute(
            f"SELECT problem_id FROM (SELECT d.problem_id, {VERDICT} AS verdict FROM {GRADED_DRAWS}"
            " WHERE d.teacher = ? AND d.params = ?) GROUP BY problem_id"
            " HAVING SUM(verdict IS 'bad_gold') = 0"
            " AND (SUM(verdict IS 'correct') < ? OR SUM(verdict IS 'wrong') < ?)",
            (teacher, params, positives, negatives),
        )
        return {row[0] for row in rows}

    def problems(self) -> list[Problem]:
        """List all problems in the order in which they were added."""
        return [
            Problem(*row) for row in self._db.execute(f"SELECT {PROBLEM_COLUMNS} FROM problems p ORDER BY p.position")
        ]

    def draws(self, teacher: str, params: str) -> list[Draw]:
        """List a teacher's draws with these parameters: by problem in order, then by number."""
        rows = self._db.execute(
            "SELECT d.problem_id, d.teacher, d.number, d.text, d.finish, d.prompt_tokens, d.completion_tokens"
            " FROM draws d JOIN problems p ON p.id = d.problem_id WHERE d.teacher = ? AND d.params = ?"
            " ORDER BY p.position, d.number",
            (teacher, params),
        )
        return [Draw(row[0], row[1], row[2], row[3], Finish(row[4]), row[5], row[6]) for row in rows]

    def rationales(self, verdict: Verdict, *, teacher: str, params: str) -> list[Rationale]:
        """List rationales by verdict, teacher and parameters, in the order of problems and then of numbers."""
        rows = self._db.execute(
            f"SELECT {PROBLEM_COLUMNS}, d.text, d.number FROM {GRADED_DRAWS} JOIN problems p ON p.id = d.problem_id"
            f" WHERE {VERDICT} = ? AND d.teacher = ? AND d.params = ? ORDER BY p.position, d.number",
            (verdict.value, teacher, params),
        )
        return [Rationale(Problem(*row[:8]), row[8], verdict, row[9]) for row in rows]

    def counts(self) -> dict[str, int]:
        """Count the problems, draws and verdicts, by table."""
        return {
            table: self._db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("problems", "draws", "verdicts")
        }

    def draw_keys(self, teacher: str, params: str) -> dict[tuple[str, int], int]:
        """Read the keys of a teacher's draws with these parameters, by problem id and draw number."""
        rows = self._db.execute(
            "SELECT problem_id, number, id FROM draws WHERE teacher = ? AND params = ?", (teacher, params)
        )
        return {(row[0], row[1]): row[2] for row in rows}

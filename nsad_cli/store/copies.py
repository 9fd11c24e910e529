"""Copies among a problem's draws: identical samples of a server that was asked to sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nsad_cli.store.sqlite import Database


TABLE = (
    "CREATE TABLE IF NOT EXISTS constant_problems (problem_id TEXT NOT NULL, teacher TEXT NOT NULL,"
    " params TEXT NOT NULL, PRIMARY KEY (problem_id, teacher, params)) WITHOUT ROWID"
)
"""Created when it is first needed, so that the store's format stays the same."""


class Copies:
    """Removes copies from one store, and records the problems that have them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remove(self, teacher: str, params: str, added: Mapping[str, Collection[int]]) -> dict[str, int]:
        """Remove draws of problems whose draws are all identical, so that the first one is left.

        Filtered draws are kept: a refusal often has the same words.

        Args:
            teacher: The teacher's name.
            params: The key of the teacher's parameters.
            added: Problem ids and the numbers of the draws that may be removed.

        Returns:
            The number of removed draws by problem id; problems without copies are left out.
        """
        removed: dict[str, int] = {}
        where = "problem_id = ? AND teacher = ? AND params = ?"
        with self._db.transaction() as db:
            for problem_id, numbers in added.items():
                key = (problem_id, teacher, params)
                texts, text, first, filtered = db.execute(
                    "SELECT COUNT(DISTINCT text), MIN(text), MIN(number), SUM(finish = 'content_filter')"
                    f" FROM draws WHERE {where}",
                    key,
                ).fetchone()
                copies = [(*key, number) for number in numbers if number != first]
                if texts != 1 or filtered or not text or not copies:
                    continue
                db.executemany(
                    f"DELETE FROM verdicts WHERE draw_id IN (SELECT id FROM draws WHERE {where} AND number = ?)", copies
                )
                db.executemany(f"DELETE FROM draws WHERE {where} AND number = ?", copies)
                removed[problem_id] = len(copies)
            if removed:
                db.execute(TABLE)
                db.executemany(
                    "INSERT OR IGNORE INTO constant_problems VALUES (?,?,?)",
                    [(problem_id, teacher, params) for problem_id in removed],
                )
        return removed

    def constant_problems(self, teacher: str, params: str) -> set[str]:
        """Return the ids of problems whose draws were all identical: further ones would be paid for and removed."""
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'constant_problems'").fetchone():
            return set()
        rows = self._db.execute(
            "SELECT problem_id FROM constant_problems WHERE teacher = ? AND params = ?", (teacher, params)
        )
        return {problem_id for (problem_id,) in rows}

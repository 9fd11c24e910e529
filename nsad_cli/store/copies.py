"""Copies among a problem's draws: identical samples of a server that was asked to sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nsad_cli.store.sqlite import Database


class Copies:
    """Removes copies from one store."""

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
        return removed

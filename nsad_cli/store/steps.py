"""Counts of checked steps of right rationales, so that a text is checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.store.tables import GRADED_DRAWS, VERDICT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nsad_cli.store.sqlite import Database

TABLE = (
    "CREATE TABLE IF NOT EXISTS step_checks (draw_id INTEGER PRIMARY KEY, checked INTEGER NOT NULL,"
    " holding INTEGER NOT NULL, version TEXT NOT NULL)"
)
"""Created when it is first needed, so that the store's format stays the same."""
TRIGGER = (
    "CREATE TRIGGER IF NOT EXISTS step_checks_of_deleted_draws AFTER DELETE ON draws"
    " BEGIN DELETE FROM step_checks WHERE draw_id = OLD.id; END"
)
"""A later draw may get the key of a deleted one."""
_RIGHT = f"{VERDICT} = 'correct' AND (?1 IS NULL OR d.params = ?1)"
_DRAWS = f"{GRADED_DRAWS} JOIN problems p ON p.id = d.problem_id"
_CHECKED = f"{_DRAWS} LEFT JOIN step_checks s ON s.draw_id = d.id"
_COLUMNS = "d.id, d.problem_id, d.teacher, d.number, p.subject"


@dataclass(frozen=True, slots=True)
class RightDraw:
    """A draw whose verdict is `correct`."""

    key: int
    problem_id: str
    teacher: str
    number: int
    subject: str
    text: str = ""
    """Empty if it was not read."""


class Steps:
    """The checks of one store; each row has the version of the checks that gave it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, counts: Iterable[tuple[int, int, int]], version: str) -> None:
        """Record counts, in place of earlier ones.

        Args:
            counts: (key of the draw, checked steps, right ones) of each draw.
            version: The version of the checks.
        """
        with self._db.transaction(durable=False) as db:  # they can be computed again
            db.execute(TABLE)
            db.execute(TRIGGER)
            db.executemany(
                "INSERT OR REPLACE INTO step_checks VALUES (?,?,?,?)", [(*count, version) for count in counts]
            )

    def unchecked(self, version: str, params: str | None, after: int, limit: int) -> list[RightDraw]:
        """List right draws without counts of this version, with their texts, in the order of their keys.

        Args:
            version: The version of the checks.
            params: Only draws made with these parameters; None for all.
            after: Only draws with a larger key.
            limit: The maximum number of draws.
        """
        draws, known = (_CHECKED, "s.version") if self._exists() else (_DRAWS, "NULL")
        rows = self._db.execute(
            f"SELECT {_COLUMNS}, d.text FROM {draws} WHERE {_RIGHT} AND {known} IS NOT ?2 AND d.id > ?3"
            " ORDER BY d.id LIMIT ?4",
            (params, version, after, limit),
        )
        return [RightDraw(*row) for row in rows]

    def with_wrong_step(self, version: str, params: str | None) -> list[RightDraw]:
        """List right draws that have a wrong step by this version's counts, without their texts.

        Args:
            version: The version of the checks.
            params: Only draws made with these parameters; None for all.
        """
        if not self._exists():
            return []
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM {_CHECKED} WHERE {_RIGHT} AND s.version = ?2 AND s.holding < s.checked"
            " ORDER BY d.id",
            (params, version),
        )
        return [RightDraw(*row) for row in rows]

    def _exists(self) -> bool:
        return bool(self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'step_checks'").fetchone())

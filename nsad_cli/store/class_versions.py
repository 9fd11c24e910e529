"""The version of the rules that gave a chain store its answer classes, and the replacement of older classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.plugins import CHECKERS, plugin_versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nsad_cli.store.sqlite import Database
    from nsad_cli.types import Chain


VERSION = "3"
"""Increase it when the classes of the same answers could change: stored classes are then computed again.

1: connected components of equivalent answers; 2 and 3: answers join only if all of them are equivalent.
"""


def class_version() -> str:
    """Return the version, which names the checkers of plugins that take part with their versions."""
    return "+".join((VERSION, *plugin_versions(CHECKERS)))


class ClassVersions:
    """The version of one chain store; the table is created when it is first recorded, so that old files stay valid."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def is_current(self) -> bool:
        """Whether the classes are this version's."""
        known = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'class_version'").fetchone()
        row = self._db.execute("SELECT version FROM class_version").fetchone() if known else None
        return row is not None and row[0] == class_version()

    def record_if_empty(self) -> None:
        """Record the version of a store without chains."""
        if not self._db.execute("SELECT 1 FROM chains LIMIT 1").fetchone() and not self.is_current():
            self.record()

    def replace(self, chains: Iterable[Chain], *, model: str, model_key: str, sampling: str) -> None:
        """Replace the answers, classes and correctness of a set's chains.

        Args:
            chains: The chains that changed.
            model: The set's model.
            model_key: The set's model key.
            sampling: The set's sampling parameters.
        """
        rows = [
            (c.answer, c.answer_class, None if c.correct is None else int(c.correct), c.problem_id, c.index)
            for c in chains
        ]
        with self._db.transaction() as db:
            db.executemany(
                "UPDATE chains SET answer = ?, answer_class = ?, correct = COALESCE(?, correct)"
                " WHERE problem_id = ? AND number = ? AND model = ? AND model_key = ? AND sampling = ?",
                [(*row, model, model_key, sampling) for row in rows],
            )

    def record(self) -> None:
        """Record that the classes are this version's."""
        with self._db.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS class_version (version TEXT NOT NULL)")
            db.execute("DELETE FROM class_version")
            db.execute("INSERT INTO class_version VALUES (?)", (class_version(),))

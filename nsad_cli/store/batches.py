"""The batches of a batch API that the store has recorded, and the claims that they hold on draws."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nsad_cli.store.claims import BATCH
from nsad_cli.store.records import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nsad_cli.store.sqlite import Database


class Batches:
    """Batches of one store; an open batch holds the claims on its draws, even after the process that made it ended."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, batch: Batch, teacher: str, params: str, base_url: str, draws: Iterable[tuple[str, int]]) -> None:
        """Record a batch before it is submitted, and move the claims on its draws to it.

        Args:
            batch: The batch; its id may still be a local one (see `Batch`).
            teacher: The teacher's name.
            params: The key of the teacher's parameters.
            base_url: The API that the batch is submitted to.
            draws: Problem ids and numbers of the batch's draws.
        """
        requests = json.dumps({"owner": batch.owner, "lines": batch.lines})
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO batches VALUES (?,?,?,?,'open',?,?)",
                (batch.id, teacher, params, base_url, requests, batch.created),
            )
            db.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?,?,?,?,?,?)",
                [(pid, teacher, params, number, BATCH + batch.id, batch.created) for pid, number in draws],
            )

    def change_id(self, old: str, new: str) -> None:
        """Replace a batch's local id by the one that its API has given it."""
        with self._db.transaction() as db:
            db.execute("UPDATE batches SET id = ? WHERE id = ?", (new, old))
            db.execute("UPDATE claims SET owner = ? WHERE owner = ?", (BATCH + new, BATCH + old))

    def close(self, batch_id: str) -> None:
        """Mark a batch as closed, because nothing more will come from it, and release its claims."""
        with self._db.transaction() as db:
            db.execute("UPDATE batches SET state = 'closed' WHERE id = ?", (batch_id,))
            db.execute("DELETE FROM claims WHERE owner = ?", (BATCH + batch_id,))

    def exist(self) -> bool:
        """Return whether the store has a record of any batch."""
        with self._db.transaction() as db:
            return db.execute("SELECT 1 FROM batches LIMIT 1").fetchone() is not None

    def abandon(self, batch_id: str) -> bool:
        """Close an open batch, regardless of its state at the API.

        Returns:
            Whether there was an open batch with this id.
        """
        is_open = self._db.execute("SELECT 1 FROM batches WHERE id = ? AND state = 'open'", (batch_id,)).fetchone()
        if is_open:
            self.close(batch_id)
        return bool(is_open)

    def unfinished(self, teacher: str, params: str, base_url: str) -> list[Batch]:
        """List the open batches of a teacher with these parameters at one API, oldest first."""
        rows = self._db.execute(
            "SELECT id, requests, created FROM batches"
            " WHERE teacher = ? AND params = ? AND base_url = ? AND state = 'open' ORDER BY created",
            (teacher, params, base_url),
        )
        found = [(row[0], json.loads(row[1]), row[2]) for row in rows]
        return [Batch(key, tuple(value["lines"]), value["owner"], created) for key, value, created in found]

    def held_draws(self, teacher: str, params: str) -> dict[str, dict[int, str]]:
        """Find the draws that open batches hold, at any API.

        Returns:
            The batch's id by problem id and draw number.
        """
        rows = self._db.execute(
            "SELECT problem_id, number, owner FROM claims WHERE teacher = ? AND params = ? AND owner GLOB ?",
            (teacher, params, BATCH + "*"),
        )
        found: dict[str, dict[int, str]] = {}
        for pid, number, owner in rows:
            found.setdefault(pid, {})[number] = owner.removeprefix(BATCH)
        return found

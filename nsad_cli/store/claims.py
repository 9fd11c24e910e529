"""Claims on draws: several processes may collect into one store without requesting the same draw twice.

The owner of a claim is a process, whose claims lapse when it ends, or a batch, whose claims last until it is closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nsad_cli.store.processes import process_name, process_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nsad_cli.store.sqlite import Database

IsAlive = Callable[[str, float], bool]
"""Whether the owner of a claim, made at a Unix time, may still be at work on it."""

CLAIM_LEASE_SECONDS = 3600.0
"""Seconds after which a claim from another machine or container lapses: its processes cannot be checked from here."""

BATCH = "batch:"
"""Prefix of a batch's id in the owner of a claim."""


def this_process() -> str:
    """The name of this process as an owner."""
    return process_name()


def is_alive(owner: str, since: float) -> bool:
    """Whether the owner of a claim made at the Unix time `since` may still be at work on it."""
    if owner.startswith(BATCH):
        return True  # until the batch is closed
    runs = process_runs(owner)
    return time.time() - since < CLAIM_LEASE_SECONDS if runs is None else runs


class Claims:
    """Claims of one store: each reserves a draw for the process or batch that is about to bring it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def acquire(
        self, teacher: str, params: str, wanted: Iterable[tuple[str, tuple[int, ...]]], owner: str, is_alive: IsAlive
    ) -> list[tuple[int, ...]]:
        """Claim draws in one commit, before they are requested.

        Draws that are stored already, or claimed by another owner that is alive, are left out.

        Args:
            teacher: The teacher's name.
            params: The key of the teacher's parameters.
            wanted: Problem ids, each with the numbers of the draws to claim.
            owner: The process that claims them.
            is_alive: Whether another owner's claim still counts.

        Returns:
            For each problem of `wanted` the numbers that the owner has now claimed.
        """
        granted = []
        with self._db.transaction(durable=False) as db:  # a power cut ends the processes that claims belong to
            for problem_id, numbers in wanted:
                key = (problem_id, teacher, params)
                where = "WHERE problem_id = ? AND teacher = ? AND params = ?"
                stored = {row[0] for row in db.execute(f"SELECT number FROM draws {where}", key)}
                claims = db.execute(f"SELECT number, owner, created FROM claims {where}", key).fetchall()
                taken = stored | {number for number, by, since in claims if by != owner and is_alive(by, since)}
                granted.append(tuple(number for number in numbers if number not in taken))
                db.executemany(
                    "INSERT OR REPLACE INTO claims VALUES (?,?,?,?,?,?)",
                    [(*key, number, owner, time.time()) for number in granted[-1]],
                )
        return granted

    def release(self, owner: str) -> None:
        """Release all claims of an owner."""
        with self._db.transaction(durable=False) as db:
            db.execute("DELETE FROM claims WHERE owner = ?", (owner,))

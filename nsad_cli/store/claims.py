"""Claims on draws: several processes may collect into one store without requesting the same draw twice.

The owner of a claim is a process, whose claims lapse when it ends, or a batch, whose claims last until it is closed. A
process renews its claims by heartbeats, for those who cannot check whether it still runs: another host or container.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nsad_cli.store.heartbeat import HEARTBEAT_SECONDS, LEASE_SECONDS, Heartbeat
from nsad_cli.store.processes import process_name, process_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nsad_cli.store.sqlite import Database

IsAlive = Callable[[str, float], bool]
"""Whether the owner of a claim, renewed at a Unix time, may still be at work on it."""

BATCH = "batch:"
"""Prefix of a batch's id in the owner of a claim."""


def this_process() -> str:
    """The name of this process as an owner."""
    return process_name()


def is_alive(owner: str, since: float, lease: float = LEASE_SECONDS) -> bool:
    """Whether an owner may still be at work.

    Args:
        owner: The owner of a claim.
        since: When the claim was made or renewed, as a Unix time.
        lease: Seconds after which a process that cannot be checked from here counts as ended.
    """
    if owner.startswith(BATCH):
        return True  # until the batch is closed
    runs = process_runs(owner)
    return abs(time.time() - since) < lease if runs is None else runs


class OwnerWatch:
    """Whether owners of claims are alive, as seen over time, so that no step of a clock makes a living one look dead.

    An owner that cannot be checked from here counts as dead when its claims are older than the lease and, in addition,
    were not renewed for two heartbeats while they were watched.
    """

    def __init__(self) -> None:
        self._renewals: dict[str, tuple[float, float]] = {}
        """The latest renewal of each owner, and when it was first seen, on the monotonic clock."""

    def is_alive(self, owner: str, since: float) -> bool:
        """Whether the owner of a claim may still be at work; see `is_alive` of this module."""
        if is_alive(owner, since):
            return True
        if process_runs(owner) is False:
            return False
        now = time.monotonic()
        latest, seen = self._renewals.get(owner, (float("-inf"), now))
        if since > latest:
            latest, seen = since, now
        self._renewals[owner] = latest, seen
        return now - seen < 2 * HEARTBEAT_SECONDS


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
            is_alive: Whether another owner's claim still counts; see OwnerWatch.

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

    def renewed(self, owner: str) -> Heartbeat:
        """Renew the claims of an owner by heartbeats while the returned context is open."""

        def renew() -> None:
            with self._db.another() as database, database.transaction(durable=False) as db:
                db.execute("UPDATE claims SET created = ? WHERE owner = ?", (time.time(), owner))

        return Heartbeat(renew)

    def owners(self, teacher: str, params: str) -> dict[str, float]:
        """Find the owners of claims on a teacher's draws with these parameters, and when each last renewed one."""
        return dict(
            self._db.execute(
                "SELECT owner, MAX(created) FROM claims WHERE teacher = ? AND params = ? GROUP BY owner",
                (teacher, params),
            )
        )

    def release(self, owner: str) -> None:
        """Release all claims of an owner."""
        with self._db.transaction(durable=False) as db:
            db.execute("DELETE FROM claims WHERE owner = ?", (owner,))

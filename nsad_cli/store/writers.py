"""The processes that write to a database on a network file system: those of one host at a time.

SQLite's rollback journal relies on file locks, which network file systems do not reliably share between hosts. So each
connection that writes has a row in the file, which it renews by heartbeats. A connection of another host is refused
while there are such rows, and a host whose rows have lapsed and were removed writes no more.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.store.heartbeat import LEASE_SECONDS
from nsad_cli.store.processes import describe_process, of_this_kernel, process_name, process_runs

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

TABLE = (
    "CREATE TABLE IF NOT EXISTS writers"
    " (connection TEXT PRIMARY KEY, process TEXT NOT NULL, renewed REAL NOT NULL) WITHOUT ROWID"
)
"""Created when it is first needed, so that the format of files stays the same."""
WHAT_TO_DO = "wait for it to end, run this command on its host, or use a file on a local disk"


def register(db: sqlite3.Connection, path: Path, kind: str, file_system: str) -> str:
    """Record a connection that will write, in a transaction that is open.

    Args:
        db: The connection.
        path: The file.
        kind: What to call the file in errors.
        file_system: The type of its file system.

    Returns:
        The key of the connection's row.

    Raises:
        NsadError: A process of another host writes to the file.
    """
    db.execute(TABLE)
    for key, process, renewed in db.execute("SELECT connection, process, renewed FROM writers").fetchall():
        here = of_this_kernel(process)
        runs = process_runs(process) if here else None  # elsewhere, another host may have this one's name
        if runs is False or (runs is None and abs(time.time() - renewed) > LEASE_SECONDS):
            db.execute("DELETE FROM writers WHERE connection = ?", (key,))
        elif not here:
            raise NsadError(
                f"cannot write to the {kind} {path} from this host",
                f"it is on a network file system ({file_system}), where one host at a time can write, and "
                f"{describe_process(process)} is using it",
                f"{WHAT_TO_DO}; if that host has crashed, try again in {LEASE_SECONDS / 60:.0f} minutes",
            )
    key = uuid.uuid4().hex
    db.execute("INSERT INTO writers VALUES (?,?,?)", (key, process_name(), time.time()))
    return key


def require_registered(db: sqlite3.Connection, key: str, path: Path, kind: str) -> None:
    """Check, in a transaction that is open, that no other host has taken over while this one was suspended.

    Raises:
        NsadError: The connection's row has been removed.
    """
    if db.execute("SELECT 1 FROM writers WHERE connection = ?", (key,)).fetchone() is None:
        raise NsadError(
            f"cannot write to the {kind} {path} any more",
            f"this process had no heartbeat for {LEASE_SECONDS:.0f} s, and another host has used the file since",
            "run the same command again when no other host uses it: it resumes",
        )


def renew(db: sqlite3.Connection, key: str) -> None:
    """Renew a connection's row, in a transaction that is open."""
    db.execute("UPDATE writers SET renewed = ? WHERE connection = ?", (time.time(), key))


def remove(db: sqlite3.Connection, key: str) -> None:
    """Remove a connection's row, in a transaction that is open."""
    db.execute("DELETE FROM writers WHERE connection = ?", (key,))

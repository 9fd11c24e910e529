"""SQLite files that several processes may write: versioned, in WAL mode, with errors a user can act on."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOCK_TIMEOUT_SECONDS = 30.0
"""Seconds to wait for another process's write, unless told otherwise."""


class Rows:
    """What a statement gives, row by row; a file that is damaged further in is told of when a row is taken."""

    def __init__(self, database: Database, cursor: sqlite3.Cursor) -> None:
        self._database, self._cursor = database, cursor

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> tuple[Any, ...]:
        try:
            row: tuple[Any, ...] = next(self._cursor)
        except sqlite3.Error as error:
            raise damaged(self._database.path, self._database.kind, error) from error
        return row

    def fetchone(self) -> Any:
        """The next row; None where there is none."""
        return next(self, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        return list(self)


class Database:
    """A connection whose writes are transactions and whose failures are told in three lines."""

    def __init__(self, path: Path, connection: sqlite3.Connection, kind: str) -> None:
        self.path, self.kind, self._connection = path, kind, connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Run a reading statement."""
        try:
            return Rows(self, self._connection.execute(sql, values))
        except sqlite3.Error as error:
            raise damaged(self.path, self.kind, error) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled it back already
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise damaged(self.path, self.kind, error) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def connect(path: Path, formats: Sequence[str], kind: str, patience: float = LOCK_TIMEOUT_SECONDS) -> Database:
    """Open or make a database file, and bring an older one up to date.

    formats: the statements that lead from each format to the next, the first from an empty file.
    Raises NsadError for a file that cannot be opened, is no database, or has a newer version's format.
    """
    with _opening(path, kind, patience, "rwc") as connection:
        _write_ahead(connection, patience)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        found = _format(connection)
        for statements in formats[found:]:
            for statement in statements.split(";"):
                connection.execute(statement)
        if found < len(formats):
            connection.execute(f"PRAGMA user_version = {len(formats)}")
        connection.execute("COMMIT")
        if found > len(formats):
            raise _newer(path, kind, found, formats)
    return Database(path, connection, kind)


def connect_to_read(path: Path, formats: Sequence[str], kind: str, patience: float = LOCK_TIMEOUT_SECONDS) -> Database:
    """Open a database file without ever changing it, while others may write to it.

    patience: seconds to wait for another process's write. Raises NsadError for a file that is not there, is no
    database, or has another version's format.
    """
    with _opening(path, kind, patience, "ro") as connection:
        found = _format(connection)
        if found > len(formats):
            raise _newer(path, kind, found, formats)
        if found < len(formats):
            known = (path.parent / "manifest.json").is_file()
            raise NsadError(
                f"the {kind} {path} has format {found}, this version reads {len(formats)}",
                "an older version of NSAD made it",
                f"`nsad stats --run {path.parent.name}` brings it up to date"
                if known
                else "`nsad stats --run NAME` brings it up to date, of any run that uses it",
            )
    return Database(path, connection, kind)


@contextlib.contextmanager
def _opening(path: Path, kind: str, patience: float, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection in SQLite's mode `ro` or `rwc` (makes the file); where the body fails, it is closed again."""
    connection: sqlite3.Connection | None = None
    try:
        if mode == "rwc":
            path.parent.mkdir(parents=True, exist_ok=True)
        address = f"{path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, timeout=patience, isolation_level=None, uri=True)
        yield connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise damaged(path, kind, error) from error
        raise


def _format(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def _newer(path: Path, kind: str, found: int, formats: Sequence[str]) -> NsadError:
    return NsadError(
        f"the {kind} {path} has format {found}, this version reads up to {len(formats)}",
        "a newer version of NSAD made it",
        "use that version for it, or start with a new run",
    )


def holding(text: str) -> str:
    r"""A pattern for `LIKE ? ESCAPE '\'` that finds the text anywhere, its own % and _ taken as they stand."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def _write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to WAL mode, once per file, with patience.

    SQLite does not wait where waiting could deadlock: of two processes that switch a new file at the same moment, one
    is told "database is locked" at once, whatever its timeout.
    """
    end = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def damaged(path: Path, kind: str, error: Exception) -> NsadError:
    """Tell a failure of a database file; a full disk is named as one."""
    text = str(error)
    if "full" in text or "No space left" in text:
        return NsadError(
            f"cannot write the {kind} {path}",
            "the disk is full",
            "free some space and run the same command again: it resumes",
        )
    if isinstance(error, sqlite3.OperationalError) and "locked" in text:
        return NsadError(
            f"cannot use the {kind} {path}", "another process is writing to it", "wait for it to end, and try again"
        )
    return NsadError(f"cannot use the {kind} {path}", text, "check the file and its folder's permissions")

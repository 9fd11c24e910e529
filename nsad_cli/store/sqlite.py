"""SQLite files that several processes may write: versioned, with NsadError for every failure.

They are in WAL mode. On network file systems, where it is not supported, a rollback journal is used, and processes of
one host at a time may write; see `writers`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.store import writers
from nsad_cli.store.heartbeat import Heartbeat
from nsad_cli.utils.file_systems import network_file_system
from nsad_cli.utils.files import sync_folder
from nsad_cli.utils.logs import logger, note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOCK_TIMEOUT_SECONDS = 30.0
"""Default time in seconds to wait while another process writes."""
FULL_DISK_BYTES = 64 * 1024
"""A disk with less free space counts as full if SQLite reports an I/O error."""
CACHE_KIB = 64 * 1024
"""The page cache of a connection that writes, in KiB. Keys are hashes, so a commit changes pages all over the index,
which for a million draws should fit into it; SQLite's default is 2 MiB."""
RETRY_SECONDS = 0.002
"""Time between two tries to get a lock."""
NOTED_WAIT_SECONDS = 5.0
"""A longer wait is noted, once for each file."""
_noted: set[Path] = set()


class ResultRows:
    """An iterator over a statement's rows; a file that is damaged in a later page fails only when that row is read."""

    def __init__(self, database: Database, cursor: sqlite3.Cursor) -> None:
        self._database, self._cursor = database, cursor

    def __iter__(self) -> ResultRows:
        return self

    def __next__(self) -> tuple[Any, ...]:
        try:
            row: tuple[Any, ...] = next(self._cursor)
        except sqlite3.Error as error:
            raise database_error(self._database.path, self._database.kind, error) from error
        return row

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all remaining rows."""
        return list(self)


class Database:
    """A connection that writes in transactions and raises NsadError.

    Args:
        path: The file.
        connection: The connection.
        kind: What to call the file in errors.
        lock_timeout: Seconds to wait while another process writes.
        writer: The key of the connection in the table of writers, on a network file system.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, kind: str, lock_timeout: float, writer: str | None = None
    ) -> None:
        self.path, self.kind, self._connection, self._lock_timeout = path, kind, connection, lock_timeout
        self._writer = writer
        self._heartbeat = Heartbeat(self._renew_writer).start() if writer is not None else None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> ResultRows:
        """Run a statement that reads."""
        try:
            return ResultRows(self, self._connection.execute(sql, values))
        except sqlite3.Error as error:
            raise database_error(self.path, self.kind, error) from error

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Write in one transaction, which is committed at the end, or rolled back if the body raises.

        Args:
            durable: Whether the commit waits until the disk has it, so that it survives a power cut. Otherwise a power
                cut may undo it, but never without the transactions after it, until `sync` has returned.
        """
        try:
            # With a rollback journal NORMAL could damage the file.
            level = "FULL" if durable or not self.has_log else "NORMAL"
            self._connection.execute(f"PRAGMA synchronous = {level}")
            _begin(self._connection, self.path, self.kind, self._lock_timeout)
            try:
                if self._writer is not None:
                    writers.require_registered(self._connection, self._writer, self.path, self.kind)
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back if the disk is full
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise database_error(self.path, self.kind, error) from error

    @cached_property
    def has_log(self) -> bool:
        """Whether the file is in WAL mode, which network file systems do not support."""
        return bool(self._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal")

    def sync(self) -> None:
        """Wait until the disk has all transactions that are committed; may be called in another thread.

        This is what a durable commit does at its end: it synchronises the log. The log has no locks of SQLite's, which
        closing it here would release.

        Raises:
            NsadError: The disk reports an error.
        """
        if not self.has_log:
            return
        log = self.path.resolve()
        try:
            handle = os.open(log.with_name(f"{log.name}-wal"), os.O_RDWR)
            try:
                getattr(os, "fdatasync", os.fsync)(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise database_error(self.path, self.kind, error) from error

    @contextlib.contextmanager
    def another(self) -> Iterator[Database]:
        """Open a second connection to the file, for a thread that writes now and then; it waits for no lock for long.

        Raises:
            NsadError: The file cannot be opened.
        """
        timeout = min(self._lock_timeout, NOTED_WAIT_SECONDS)
        with _opening(self.path, self.kind, timeout, "rw") as connection:
            _set_journal_mode(connection, self.path, self.kind, timeout)
            database = Database(self.path, connection, self.kind, timeout)
            try:
                yield database
            finally:
                connection.close()

    def _renew_writer(self) -> None:
        assert self._writer is not None
        with self.another() as database, database.transaction() as db:
            writers.require_registered(db, self._writer, self.path, self.kind)
            writers.renew(db, self._writer)

    def close(self) -> None:
        """Close the connection."""
        if self._heartbeat is not None and self._writer is not None:
            self._heartbeat.stop()
            with contextlib.suppress(NsadError), self.transaction() as db:  # else the row lapses
                writers.remove(db, self._writer)
        self._connection.close()


def connect(path: Path, formats: Sequence[str], kind: str, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> Database:
    """Open or create a database file, and migrate one of an older format.

    Args:
        path: The file.
        formats: The statements that lead from each format to the next; the first ones start from an empty file.
        kind: What to call the file in errors.
        lock_timeout: Seconds to wait while another process writes.

    Raises:
        NsadError: The file cannot be opened, is not a database, or has a newer version's format; or it is on a network
            file system, and a process of another host is using it.
    """
    writer = None
    with _opening(path, kind, lock_timeout, "rwc") as connection:
        file_system = _set_journal_mode(connection, path, kind, lock_timeout)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        _begin(connection, path, kind, lock_timeout)
        found = _format(connection)
        if file_system is not None and found <= len(formats):
            writer = writers.register(connection, path, kind, file_system)
        for statements in formats[found:]:
            for statement in statements.split(";"):
                connection.execute(statement)
        if found < len(formats):
            connection.execute(f"PRAGMA user_version = {len(formats)}")
        connection.execute("COMMIT")
        if found > len(formats):
            raise _newer_format(path, kind, found, formats)
        if found == 0:
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
    logger.debug("opened %s (%s, format %d)", path, kind, len(formats))
    return Database(path, connection, kind, lock_timeout, writer)


def is_write_protected(path: Path) -> bool:
    """Return whether an existing file is on a read-only file system, or in a folder without write permission."""
    return path.is_file() and not os.access(path.resolve().parent, os.W_OK)


def connect_to_read(
    path: Path, formats: Sequence[str], kind: str, lock_timeout: float = LOCK_TIMEOUT_SECONDS
) -> Database:
    """Open a database file without ever changing it, while other processes may write to it.

    Args:
        path: The file.
        formats: As for `connect`; nothing is migrated.
        kind: What to call the file in errors.
        lock_timeout: Seconds to wait while another process writes.

    Raises:
        NsadError: The file does not exist, is not a database, or has another version's format.
    """
    with _opening(path, kind, lock_timeout, read_mode(path)) as connection:
        found = _format(connection)
        if found > len(formats):
            raise _newer_format(path, kind, found, formats)
        if found < len(formats):
            in_run_folder = (path.parent / "manifest.json").is_file()
            raise NsadError(
                f"the {kind} {path} has format {found}, this version reads {len(formats)}",
                "an older version of NSAD made it",
                f"`nsad stats --run {path.parent.name}` brings it up to date"
                if in_run_folder
                else "`nsad stats --run NAME` brings it up to date, with any run that uses it",
            )
    return Database(path, connection, kind, lock_timeout)


def read_mode(path: Path) -> str:
    """Return the URI options to read a file.

    SQLite cannot create the auxiliary files of WAL mode in a write-protected folder. A file without them has no changes
    in a log, and is opened as one that nobody changes: once another process writes to it, it must be opened again. With
    a rollback journal, as on network file systems, reading needs no such files, and other hosts may change the file.
    """
    auxiliary = (path.resolve().with_name(path.resolve().name + end) for end in ("-wal", "-shm"))
    if not is_write_protected(path) or any(map(Path.exists, auxiliary)):
        return "ro"
    return "ro" if network_file_system(path) is not None and not _is_in_wal_mode(path) else "ro&immutable=1"


def _is_in_wal_mode(path: Path) -> bool:
    """Read from a file's header if it is in WAL mode."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"
    return False


@contextlib.contextmanager
def _opening(path: Path, kind: str, lock_timeout: float, mode: str) -> Iterator[sqlite3.Connection]:
    """Connect in a mode of SQLite's URIs, `rwc` to create; the connection is closed only if the body raises."""
    connection: sqlite3.Connection | None = None
    try:
        if mode == "rwc":
            path.parent.mkdir(parents=True, exist_ok=True)
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, timeout=lock_timeout, isolation_level=None, uri=True)
        yield connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise database_error(path, kind, error) from error
        raise


def _format(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def _newer_format(path: Path, kind: str, found: int, formats: Sequence[str]) -> NsadError:
    return NsadError(
        f"the {kind} {path} has format {found}, this version reads up to {len(formats)}",
        "a newer version of NSAD made it",
        "use that version for it, or start with a new run",
    )


def like_pattern(text: str) -> str:
    r"""Make a pattern for `LIKE ? ESCAPE '\'` that matches the text anywhere, with its % and _ taken literally."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def _begin(connection: sqlite3.Connection, path: Path, kind: str, lock_timeout: float) -> None:
    """Begin a transaction that writes; if another process holds the lock for long, note it and go on waiting.

    Raises:
        sqlite3.OperationalError: The lock is not free within `lock_timeout` seconds.
    """
    _retry_while_busy("BEGIN IMMEDIATE", connection, path, kind, lock_timeout)


def _retry_while_busy(
    statement: str, connection: sqlite3.Connection, path: Path, kind: str, lock_timeout: float
) -> None:
    """Run a statement that needs a lock.

    SQLite's own timeout tries ever less often, so that a process that writes without a pause starves the others; and it
    does not help if two processes switch a new file to WAL mode at the same moment.
    """
    started = time.monotonic()
    _set_timeout(connection, 0)
    try:
        while True:
            try:
                connection.execute(statement)
                return
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - started
                if not _is_busy(error) or waited > lock_timeout:
                    raise
                if waited > NOTED_WAIT_SECONDS:
                    _note_wait(path, kind, lock_timeout)
                time.sleep(RETRY_SECONDS)
    finally:
        _set_timeout(connection, lock_timeout)


def _set_timeout(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _note_wait(path: Path, kind: str, lock_timeout: float) -> None:
    if path not in _noted:
        _noted.add(path)
        note(f"waiting for the {kind} {path}, up to {lock_timeout:.0f} s: another process is writing to it")


def _set_journal_mode(connection: sqlite3.Connection, path: Path, kind: str, lock_timeout: float) -> str | None:
    """Set the journal mode that the file system supports, once no other process does the same or uses another mode.

    Returns:
        The type of the network file system that the file is on, or None.
    """
    file_system = network_file_system(path)
    # Truncating the journal is as safe as deleting it, and the disk has it when a commit returns.
    mode = "WAL" if file_system is None else "TRUNCATE"
    _retry_while_busy(f"PRAGMA journal_mode = {mode}", connection, path, kind, lock_timeout)
    return file_system


def database_error(path: Path, kind: str, error: Exception) -> NsadError:
    """Make the NsadError for a failure of a database file: a full disk, a lock, or damage."""
    text = str(error)
    if "full" in text or "No space left" in text or ("disk I/O error" in text and _is_disk_full(path)):
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


def _is_disk_full(path: Path) -> bool:
    """Return whether the disk is full, which SQLite reports as an I/O error for some of its files."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < FULL_DISK_BYTES
    return False

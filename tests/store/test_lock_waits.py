"""A long wait for another process's transaction is noted once, and the write succeeds once the lock is free."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.store import sqlite
from nsad_cli.store.sqlite import Database, connect
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("CREATE TABLE t (x)",)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(sqlite, "NOTED_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(sqlite, "_noted", set())
    return connect(tmp_path / "file.sqlite", FORMATS, "store", 10.0)


def write_while_locked(database: Database, seconds: float) -> None:
    other = sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(seconds, other.execute, ("ROLLBACK",))
    release.start()
    try:
        with database.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
    finally:
        release.join()
        other.close()


def test_a_long_wait_is_noted_once(database: Database) -> None:
    notes = recorded_notes()
    write_while_locked(database, 0.3)
    assert notes == [f"waiting for the store {database.path}, up to 10 s: another process is writing to it"]
    write_while_locked(database, 0.3)
    assert len(notes) == 1
    assert database.execute("SELECT count(*) FROM t").fetchone() == (2,)
    assert database.execute("PRAGMA busy_timeout").fetchone() == (10_000,)


def test_a_short_wait_is_not_noted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "NOTED_WAIT_SECONDS", 5.0)
    notes = recorded_notes()
    write_while_locked(database, 0.1)
    assert notes == []


def test_the_limit_holds_for_the_whole_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "NOTED_WAIT_SECONDS", 0.05)
    short = connect(tmp_path / "file.sqlite", FORMATS, "store", 0.2)
    with pytest.raises(NsadError, match="another process is writing"):
        write_while_locked(short, 1.0)

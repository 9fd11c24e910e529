"""On a network file system stores have a rollback journal, and processes of one host at a time write to them."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nsad_cli.cli.main import app
from nsad_cli.errors import NsadError
from nsad_cli.store import heartbeat, processes
from nsad_cli.store.chains import ChainStore
from nsad_cli.store.heartbeat import LEASE_SECONDS
from nsad_cli.store.processes import process_name
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw, Problem
from nsad_cli.utils import file_systems
from tests.helpers.sharing_processes import OtherProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROBLEM = Problem("p", "1+1?", "2", "test")
ELSEWHERE = "other-host:17:another-boot/1/2"
HOLD = """
import sys
from pathlib import Path
from nsad_cli.store.rationales import Store
from nsad_cli.utils import file_systems
file_systems.MOUNTS = Path(sys.argv[2])
with Store(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.readline()
print("{}")
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a store, in a folder that looks like one of a network file system."""
    (tmp_path / "mounts").write_text(f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path.resolve()} rw - nfs4 b rw\n")
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "mounts")
    return tmp_path / "store.sqlite"


@pytest.fixture
def writers(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the store, with which a test changes the table of writers."""
    with Store(path) as store:
        store.add_problems([PROBLEM])
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def processes_of(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT process FROM writers")]


def write_as(connection: sqlite3.Connection, process: str, renewed: float) -> None:
    connection.execute("INSERT OR REPLACE INTO writers VALUES ('c', ?, ?)", (process, renewed))


@pytest.mark.parametrize("kind", [Store, ChainStore])
def test_the_journal_is_not_a_log(path: Path, kind: type[Store | ChainStore]) -> None:
    with kind(path) as store:
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
        assert not store._db.has_log
        with store._db.transaction(durable=False):
            level = store._db.execute("PRAGMA synchronous").fetchone()
    assert level == (2,), "FULL"
    assert not [name for name in path.parent.glob("store.sqlite-*") if name.suffix in ("-wal", "-shm")]
    with kind(path, read_only=True) as store:
        assert not store._db.has_log


def test_a_store_is_converted_when_it_comes_to_another_file_system(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First local, then on a network file system, then local again."""
    for mounts, mode in (("none", "wal"), ("mounts", "truncate"), ("none", "wal")):
        monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / mounts)
        with Store(path) as store:
            store.add_problems([PROBLEM])
            assert store._db.execute("PRAGMA journal_mode").fetchone() == (mode,)
            assert store.counts()["problems"] == 1


def test_processes_of_this_host_write_together(path: Path, tmp_path: Path, writers: sqlite3.Connection) -> None:
    with OtherProcess(HOLD, path, tmp_path / "mounts") as other:
        other.wait_until_ready()
        with Store(path) as store, Store(path):
            assert store.add_draws([Draw("p", "t", 0, "2")], "k") == 1
            assert len(processes_of(writers)) == 3
            assert set(processes_of(writers)) > {process_name()}
        other.kill()
    assert len(processes_of(writers)) == 1, "a killed process leaves its row"
    with Store(path):
        assert processes_of(writers) == [process_name()], "and the next one removes it"
    assert processes_of(writers) == []


def test_a_second_host_is_refused_and_may_read(path: Path, writers: sqlite3.Connection) -> None:
    write_as(writers, ELSEWHERE, time.time() - LEASE_SECONDS / 2)
    with pytest.raises(NsadError) as error:
        Store(path)
    assert error.value.what == f"cannot write to the store {path} from this host"
    assert "nfs4" in error.value.why
    assert "process 17 on host other-host" in error.value.why
    assert "run this command on its host" in error.value.fix
    assert processes_of(writers) == [ELSEWHERE]
    with Store(path, read_only=True) as store:
        assert store.counts()["problems"] == 1
    write_as(writers, ELSEWHERE, time.time() - LEASE_SECONDS - 1)
    with Store(path) as store:
        assert processes_of(writers) == [process_name()]
        assert store.add_draws([Draw("p", "t", 0, "2")], "k") == 1


def test_another_host_with_the_name_of_this_one_is_refused(path: Path, writers: sqlite3.Connection) -> None:
    write_as(writers, f"{socket.gethostname()}:17:another-boot/1/2", time.time())
    with pytest.raises(NsadError, match="from this host"):
        Store(path)


def test_another_container_of_this_host_is_not(path: Path, writers: sqlite3.Connection) -> None:
    boot = processes._boot_id()
    if not boot:
        pytest.skip("not Linux")
    write_as(writers, f"container:17:{boot}/1/2", time.time())
    with Store(path):
        assert len(processes_of(writers)) == 2


def test_a_host_that_was_taken_over_writes_no_more(path: Path, writers: sqlite3.Connection) -> None:
    with Store(path) as store:
        writers.execute("DELETE FROM writers")
        write_as(writers, ELSEWHERE, time.time())
        with pytest.raises(NsadError, match="any more") as error:
            store.add_draws([Draw("p", "t", 0, "2")], "k")
        assert "another host has used the file since" in error.value.why
        assert store.counts()["draws"] == 0
    assert processes_of(writers) == [ELSEWHERE]


def test_heartbeats_renew_the_row(path: Path, writers: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)
    with Store(path):
        (first,) = writers.execute("SELECT renewed FROM writers").fetchone()
        deadline = time.monotonic() + 30
        while writers.execute("SELECT renewed FROM writers").fetchone() == (first,):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_in_a_write_protected_folder_changes_of_other_hosts_are_seen(
    path: Path, writers: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with Store(path) as store:
        assert store.read_only
        assert store.counts()["draws"] == 0
        writers.execute("INSERT INTO draws VALUES (1, 'p', 't', 'k', 0, '2', 'stop', 0, 0, 0)")
        assert store.counts()["draws"] == 1


def test_doctor_names_the_file_system(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def detail() -> str:
        from nsad_cli.cli.doctor_checks import _file_system

        return _file_system().detail

    assert detail().startswith("nfs4 (network): SQLite uses a rollback journal")
    (path.parent / "mounts").write_text("1 0 0:1 / / rw - xfs a rw\n")
    assert detail() == "xfs (local)"
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "none")
    assert detail() == "unknown, taken for a local one"


def test_a_shared_store_is_noted_and_used(path: Path) -> None:
    command = ["collect", "--teacher", "arithmetic", "--problems", "arithmetic:train", "--limit", "3", "-k", "1"]
    result = CliRunner().invoke(app, [*command, "--store", str(path), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["draws"] == 3
    assert f"{path} is on a network file system (nfs4): SQLite uses a rollback journal" in result.stderr
    assert "one host at a time can write" in result.stderr

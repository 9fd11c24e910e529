"""What is committed or exported is on the disk when the call returns; see docs/durability.md."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw
from nsad_cli.utils.files import new_file, new_folder, write_atomic
from nsad_cli.utils.row_files import write_rows
from tests.helpers.disk_steps import recorded_steps
from tests.helpers.questions import numbered_problems

if TYPE_CHECKING:
    from pathlib import Path

FULL, NORMAL = 2, 1
"""SQLite's numbers of its levels of `synchronous`."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    return recorded_steps(monkeypatch)


@pytest.mark.parametrize("kind", ["write_atomic", "new_file", "rows"])
def test_a_file_and_its_folder_are_synchronised(kind: str, steps: list[tuple[str, Path]], tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    if kind == "write_atomic":
        write_atomic(path, "{}\n")
    elif kind == "rows":
        write_rows([{}], path)
    else:
        with new_file(path) as temporary:
            temporary.write_text("{}\n")
    assert path.read_text() == "{}\n"
    assert [what for what, _ in steps] == ["sync", "rename", "sync"]
    assert steps[0][1].name.startswith(".one.jsonl.")
    assert steps[1:] == [("rename", path), ("sync", tmp_path)]


def test_new_folders_above_a_file_are_synchronised(steps: list[tuple[str, Path]], tmp_path: Path) -> None:
    write_atomic(tmp_path / "runs" / "one" / "manifest.json", "{}")
    assert steps[:2] == [("sync", tmp_path / "runs"), ("sync", tmp_path)]
    assert steps[3:] == [
        ("rename", tmp_path / "runs" / "one" / "manifest.json"),
        ("sync", tmp_path / "runs" / "one"),
    ]


def test_a_folder_is_synchronised_with_all_it_holds(steps: list[tuple[str, Path]], tmp_path: Path) -> None:
    path = tmp_path / "model"
    with new_folder(path) as temporary:
        (temporary / "part").mkdir()
        for name in ("config.json", "part/weights"):
            (temporary / name).write_text(name)
    at = steps.index(("rename", path))
    synced = {place.relative_to(temporary).as_posix() for what, place in steps[:at] if what == "sync"}
    assert synced == {"config.json", "part", "part/weights", "."}
    assert steps[at + 1 :] == [("sync", tmp_path)]


def test_a_file_without_write_permission_is_exported(tmp_path: Path) -> None:
    """As in a copied snapshot of a model."""
    with new_folder(tmp_path / "model") as temporary:
        (temporary / "weights").write_text("w")
        (temporary / "weights").chmod(0o444)
    assert (tmp_path / "model" / "weights").read_text() == "w"


WRITE = """
import sys, time
from pathlib import Path
from nsad_cli.utils.files import new_file, new_folder
with {"folder": new_folder, "file": new_file}[sys.argv[1]](Path(sys.argv[2])) as temporary:
    (temporary / "part").write_text("half") if temporary.is_dir() else temporary.write_text("half")
    print(temporary.name, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_export_left_is_removed_by_the_next_one_and_what_is_being_written_is_kept(tmp_path: Path) -> None:
    mine = {tmp_path / name for name in (".model.settings", ".model.12345678", "x.nsad-tmp")}
    for path in mine:
        path.write_text("mine")
    writing = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, kind, str(tmp_path / "model")], stdout=subprocess.PIPE, text=True
        )
        for kind in ("folder", "file", "folder")
    ]
    names = [process.stdout.readline().strip() for process in writing if process.stdout is not None]
    for process in writing[:2]:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in mine} | set(names)
    write_atomic(tmp_path / "other", "text")
    assert set(tmp_path.iterdir()) == mine | {tmp_path / "other", tmp_path / names[2]}
    writing[2].kill()
    writing[2].communicate()
    with new_folder(tmp_path / "model") as temporary:
        (temporary / "weights").write_text("w")
    assert set(tmp_path.iterdir()) == mine | {tmp_path / "other", tmp_path / "model"}


@pytest.mark.parametrize("locks", [True, False])
def test_links_and_pipes_are_no_leftovers(locks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / ".link.nsad-tmp").symlink_to(kept)
    os.mkfifo(tmp_path / ".pipe.nsad-tmp")
    if not locks:
        (tmp_path / ".may-be-in-use.nsad-tmp").touch()
        monkeypatch.setattr("fcntl.flock", _no_locks)
    write_atomic(tmp_path / "one", "text")
    assert kept.is_dir()
    assert (tmp_path / ".may-be-in-use.nsad-tmp").exists() is not locks
    assert (tmp_path / "one").read_text() == "text"


def _no_locks(*_: object) -> None:
    raise OSError(38, "Function not implemented")


def test_paid_draws_are_committed_to_the_disk_and_claims_with_them(tmp_path: Path) -> None:
    levels: list[int] = []
    with Store(tmp_path / "store.sqlite") as store:
        (problem,) = numbered_problems(1)
        store.add_problems([problem])
        statements: list[str] = []
        store._db._connection.set_trace_callback(statements.append)
        store.claims.acquire("t", "k", [(problem.id, (0,))], "host:1:2", lambda *_: True)
        levels.append(store._db.execute("PRAGMA synchronous").fetchone()[0])
        store.add_draws([Draw(problem.id, "t", 0, "text")], "k")
        levels.append(store._db.execute("PRAGMA synchronous").fetchone()[0])
    assert levels == [NORMAL, FULL]
    set_at = max(i for i, text in enumerate(statements) if "FULL" in text)
    assert set_at < next(i for i, text in enumerate(statements) if text.startswith("INSERT INTO draws"))


def test_draws_that_are_added_without_waiting_are_on_the_disk_after_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: list[str] = []

    def record(handle: int) -> None:
        synchronised.append(os.path.realpath(f"/proc/self/fd/{handle}"))

    monkeypatch.setattr(os, "fdatasync", record)
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "store.sqlite")
    with Store(tmp_path / "link.sqlite") as store:
        (problem,) = numbered_problems(1)
        store.add_problems([problem])
        assert store.add_draws([Draw(problem.id, "t", 0, "text")], "k", durable=False) == 1
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == NORMAL
        assert synchronised == []
        store.sync()
    assert synchronised == [str(tmp_path / "store.sqlite-wal")]


def test_without_a_log_every_commit_of_draws_waits_for_the_disk(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        (problem,) = numbered_problems(1)
        store.add_problems([problem])
        store._db._connection.execute("PRAGMA journal_mode = DELETE")  # as on a file system without WAL mode
        store.add_draws([Draw(problem.id, "t", 0, "text")], "k", durable=False)
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == FULL
        store.sync()


def test_a_log_that_cannot_be_synchronised_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with Store(tmp_path / "store.sqlite") as store:
        (problem,) = numbered_problems(1)
        store.add_problems([problem])
        store.add_draws([Draw(problem.id, "t", 0, "text")], "k", durable=False)
        with pytest.raises(NsadError, match="cannot write the store"):
            store.sync()

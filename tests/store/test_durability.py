"""What is committed or exported is on the disk when the call returns; see docs/durability.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw
from nsad_cli.utils.files import new_file, new_folder, write_atomic
from nsad_cli.utils.row_files import write_rows
from tests.helpers.questions import numbered_problems

FULL, NORMAL = 2, 1
"""SQLite's numbers of its levels of `synchronous`."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Every file and folder that is synchronised, and every new name, in order; the calls are carried out."""
    seen: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(handle: int) -> None:
        seen.append(("sync", Path(f"/proc/self/fd/{handle}").resolve()))
        fsync(handle)

    def record_replace(source: Path, target: Path) -> None:
        seen.append(("rename", Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    return seen


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

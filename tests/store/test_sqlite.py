"""Stores of other versions: an older one is named with the command that brings it up to date, and that command does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nsad_cli.cli.main import app
from nsad_cli.config.schema import Recipe
from nsad_cli.errors import NsadError
from nsad_cli.runs.run import Run
from nsad_cli.store import chains, tables
from nsad_cli.store.chains import ChainStore
from nsad_cli.store.rationales import Store

if TYPE_CHECKING:
    from pathlib import Path

Opener = Callable[..., Store | ChainStore]


def older(path: Path, formats: tuple[str, ...], found: int) -> None:
    """A file as a version that knew the first `found` formats left it."""
    db = sqlite3.connect(path)
    for statements in formats[:found]:
        db.executescript(statements)
    db.execute(f"PRAGMA user_version = {found}")
    db.close()


@pytest.mark.parametrize(
    ("name", "kind", "formats", "found"),
    [
        ("store.sqlite", Store, tables.FORMATS, 1),
        ("store.sqlite", Store, tables.FORMATS, len(tables.FORMATS) - 1),
        ("chains.sqlite", ChainStore, chains.FORMATS, 0),
    ],
)
def test_the_command_that_is_named_brings_an_older_store_up_to_date(
    name: str, kind: Opener, formats: tuple[str, ...], found: int
) -> None:
    path = Run.create("one", Recipe()).path / name
    older(path, formats, found)
    before = path.read_bytes()
    with pytest.raises(NsadError, match=f"has format {found}, this version reads {len(formats)}") as error:
        kind(path, read_only=True)
    assert path.read_bytes() == before, "reading changes nothing"
    assert error.value.fix == "`nsad stats --run one` brings it up to date"
    command = error.value.fix.split("`")[1].split()
    assert CliRunner().invoke(app, command[1:]).exit_code == 0
    with kind(path, read_only=True):
        pass


def test_a_shared_store_is_of_no_run(tmp_path: Path) -> None:
    older(tmp_path / "shared.sqlite", tables.FORMATS, 1)
    with pytest.raises(NsadError) as error:
        Store(tmp_path / "shared.sqlite", read_only=True)
    assert error.value.fix == "`nsad stats --run NAME` brings it up to date, with any run that uses it"


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(("kind", "latest"), [(Store, len(tables.FORMATS)), (ChainStore, len(chains.FORMATS))])
def test_a_newer_store_is_left_as_it_is(tmp_path: Path, kind: Opener, latest: int, read_only: bool) -> None:
    path = tmp_path / "store.sqlite"
    kind(path).__exit__(None, None, None)
    older(path, (), 99)
    with pytest.raises(NsadError, match=f"has format 99, this version reads up to {latest}") as error:
        kind(path, read_only=read_only)
    assert "newer version" in error.value.why
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (99,)
    db.close()


@pytest.mark.parametrize("name", ["with space.sqlite", "per%20cent#?.sqlite", "ünï.sqlite"])
def test_any_name_is_opened_as_it_is_written(tmp_path: Path, name: str) -> None:
    for read_only in (False, True):
        with Store(tmp_path / name, read_only=read_only) as opened:
            assert opened.counts()["draws"] == 0
    assert name in {path.name for path in tmp_path.iterdir()}


def test_a_file_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(NsadError, match="cannot use the store"):
        Store(tmp_path / "store.sqlite", read_only=True)
    assert not list(tmp_path.iterdir())


def test_a_connection_that_writes_keeps_the_index_of_a_large_store_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path) as writing:
        assert writing._db.execute("PRAGMA cache_size").fetchone() == (-64 * 1024,)
    with Store(path, read_only=True) as reading:
        assert reading._db.execute("PRAGMA cache_size").fetchone() != (-64 * 1024,)

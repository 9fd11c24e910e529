"""Stores on a read-only file system can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.store.chains import ChainStore
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw, Problem

if TYPE_CHECKING:
    from pathlib import Path


def test_write_protected_stores_are_opened_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("p", "1+1?", "2", "test")
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems([problem])
        store.add_draws([Draw("p", "t", 0, "2")], "k")
    with ChainStore(tmp_path / "chains.sqlite"):
        pass
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.sqlite")}
    monkeypatch.setattr("os.access", lambda *_: False)
    with Store(tmp_path / "store.sqlite") as store:
        assert store.counts()["draws"] == 1
        with pytest.raises(NsadError, match="cannot use the store"):
            store.add_draws([Draw("p", "t", 1, "3")], "k")
    with ChainStore(tmp_path / "chains.sqlite") as chains:
        assert chains.sets() == []
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.sqlite")} == before

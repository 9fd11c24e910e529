"""`nsad export` reports what is missing before it imports torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from nsad_cli.cli.export import Server, export
from nsad_cli.config.schema import Recipe
from nsad_cli.errors import NsadError
from nsad_cli.runs.run import Run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nsad_cli.inference.session", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "nsad_cli.inference.export", None)


def test_a_run_without_the_adapter(tmp_path: Path) -> None:
    Run.create("x", Recipe())
    with pytest.raises(NsadError, match="has no nce adapter") as error:
        export(tmp_path / "out", run_name="x")
    assert error.value.fix == "train it with `nsad train-nce --run x`"
    with pytest.raises(NsadError, match="has no nat adapter"):
        export(tmp_path / "out", server=Server.VLLM, run_name="x")


def test_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    run = Run.create("x", Recipe())
    with run.stage("nce", "key"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(NsadError, match="is not empty"):
        export(tmp_path, run_name="x")

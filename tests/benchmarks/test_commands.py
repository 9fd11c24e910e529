"""Every benchmark is a command: `--help` explains it, and data that are missing are reported in three lines."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.helpers.requirements import imports_model_libraries

FILES = [path for path in sorted(Path(__file__).parent.glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")]
FILES = [path for path in FILES if not path.stem.endswith("_worker")]  # run by a benchmark, in another environment
REQUIRED = {"trl_sft": ("--python", sys.executable)}
"""Options that a benchmark requires."""
NEED_DATA = [path for path in FILES if "NSAD_DATA=…" in path.read_text(encoding="utf-8")]


def commands(files: list[Path]) -> list[object]:
    """The names of benchmarks as parameters; those that import torch are marked."""
    names = [(path, path.stem) for path in files if path != Path(__file__)]
    return [pytest.param(name, marks=[pytest.mark.model] * imports_model_libraries(path)) for path, name in names]


def exit_code(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> object:
    """Run `python -m tests.benchmarks.NAME` in this process."""
    module = f"tests.benchmarks.{name}"
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module, run_name="__main__")
    return end.value.code


@pytest.mark.parametrize("name", commands(FILES))
def test_help_names_the_command_and_json(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"python -m tests.benchmarks.{name}" in shown
    assert "--json" in shown


@pytest.mark.parametrize("name", commands(NEED_DATA))
@pytest.mark.parametrize("is_set", [False, True])
def test_missing_data_are_three_lines(
    name: str, is_set: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if is_set:
        monkeypatch.setenv("NSAD_DATA", str(tmp_path))
    assert exit_code(monkeypatch, name, *REQUIRED.get(name, ()), "--json") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    what, why, fix = shown.err.splitlines()
    assert what.startswith("error: no data at $NSAD_DATA/")
    assert ("does not exist" if is_set else "NSAD_DATA is not set") in why
    assert "export NSAD_DATA=" in fix


def test_the_data_sets_that_benchmarks_name_are_all_checked() -> None:
    assert {path.stem for path in NEED_DATA} >= {
        "grading",
        "recovered",
        "overlap",
        "sampling",
        "nce",
        "train_throughput",
    }
    for path in FILES:
        assert not re.search(r"environ.{,6}NSAD_\w*DATA", path.read_text(encoding="utf-8")), path.name

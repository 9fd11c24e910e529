"""Modules that lie in the working folder are not imported by the subprocesses of `nsad`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nsad_cli

HOSTILE = """
from pathlib import Path
Path({mark!r}).touch()
def parse(*args, **kwargs): return ["x"]
def verify(*args, **kwargs): return True
"""
GRADE = r"""
from nsad_cli.api import grade
(found,) = grade([r"So \boxed{\frac{1000!}{998!\cdot2!}}."], [r"\frac{1000!}{997!\cdot3!}"])
print(found.verdict.value)
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    for name in ("random", "sympy", "math_verify", "json", "selectors"):
        (tmp_path / f"{name}.py").write_text(HOSTILE.format(mark=str(tmp_path / "was_run")))
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(nsad_cli.__file__).parents[1])}


def test_grading_runs_no_code_of_the_working_folder(hostile: Path) -> None:
    command = [sys.executable, "-P", "-c", GRADE]
    subprocess.run(command, cwd=hostile, env=environment(), capture_output=True, text=True, check=True)
    assert not (hostile / "was_run").exists()


def test_every_subprocess_of_python_is_isolated() -> None:
    """Every command line that starts Python in the package has the flag -P."""
    for path in Path(nsad_cli.__file__).parent.rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if "sys.executable, " in line:
                assert 'sys.executable, "-P"' in line, f"{path}:{number}"

"""The run that version 0.1.0 recorded: unpacking it, and running commands on it.

The archive holds a tiny student, the run trained on it, its exports (for vLLM, and as a plain LoRA), and what the
commands printed then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ARCHIVE = Path(__file__).parent.parent / "fixtures" / "run_0.1.0.tar.xz"
QUESTION = "Sara has 3 apples and buys 4 more. How many apples does Sara have now?"
"""The problem that was solved when the run was recorded."""


def unpack(folder: Path) -> Path:
    """Unpack recipe.yaml, student, runs/recorded, exported_nat, exported_lora and out into a folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def nsad(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> tuple[Any, str]:
    """Run a command with --json in the unpacked folder.

    Returns:
        What it printed on stdout (its one JSON object), and on stderr.
    """
    done = run_command(folder, *arguments, "--json", variables=variables)
    return json.loads(done.stdout), done.stderr


def run_command(
    folder: Path, *arguments: str, variables: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command in the unpacked folder and check its exit code."""
    environment = {**os.environ, "NSAD_HOME": "runs", "OMP_NUM_THREADS": "1", **(variables or {})}
    command = [sys.executable, "-m", "nsad_cli", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def recorded_output(folder: Path, name: str) -> Any:
    """What a command printed when the run was recorded."""
    return json.loads((folder / "out" / f"{name}.json").read_text(encoding="utf-8"))

"""`nsad` as a process in a folder of its own, and the three lines of its errors."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def run_nsad(home: Path, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `nsad` in an empty folder of its own."""
    home.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NSAD_", "OPENAI_"))}
    environment |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "OMP_NUM_THREADS": "1"} | variables
    return subprocess.run(
        [sys.executable, "-m", "nsad_cli", *arguments],
        check=False,
        cwd=home,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )


def failure(result: subprocess.CompletedProcess[str], code: int) -> list[str]:
    """The three lines of an error, and nothing else on stdout."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()[-3:]
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("  why: ")
    assert lines[2].startswith("  try: ")
    return lines

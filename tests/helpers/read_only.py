"""Programs that see a folder on a read-only file system, as root does too."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

MOUNT = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && '


def run_read_only(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in the folder, in a mount namespace of its own where the folder is read-only."""
    start = ["unshare", "-rm", "sh", "-c"]
    try:
        probe = subprocess.run([*start, MOUNT + "! touch x", str(folder)], check=False, capture_output=True)
    except FileNotFoundError:
        probe = None
    if probe is None or probe.returncode:
        pytest.skip("needs unshare and the permission to mount")
    return subprocess.run(
        [*start, MOUNT + command, str(folder)], check=False, capture_output=True, text=True, timeout=120
    )

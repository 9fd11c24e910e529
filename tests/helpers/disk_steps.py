"""What is written to the disk, in order: each file and folder that is synchronised, and each new name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def recorded_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
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

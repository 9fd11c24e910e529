"""`nsad dashboard --demo`: runs that were recorded, to look around in before one has one's own."""

from __future__ import annotations

import tarfile
from pathlib import Path

from nsad_cli.errors import NsadError

ARCHIVE = Path(__file__).with_name("recorded.tar.xz")
"""Made by tests/record_run.py, from runs of `nsad demo`."""


def unpack(folder: Path) -> Path:
    """Unpack the recorded runs into a folder; the home that they are in.

    Raises NsadError where the folder cannot be written, or the archive is damaged.
    """
    home = folder / "runs"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(home, filter="data")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise NsadError(
            f"cannot unpack the recorded runs into {home}", str(error), "name a folder that can be written, or reinstall"
        ) from error
    return home

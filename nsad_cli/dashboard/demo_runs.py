"""The recorded run that `nsad dashboard --demo` shows."""

from __future__ import annotations

import contextlib
import lzma
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHIVE = Path(__file__).parent / "recorded.tar.xz"
"""Archive of run folders, created by tests/record_run.py from `nsad demo` and a copy with another ranker."""


@contextlib.contextmanager
def recorded_runs(archive: Path = ARCHIVE) -> Iterator[Path]:
    """Unpack the recorded runs into a temporary folder, which is deleted when the context exits.

    Raises:
        NsadError: The archive is missing, cannot be read or unpacked, or contains no run.
    """
    fix = "reinstall nsad, or create a run with `nsad demo`"
    with contextlib.ExitStack() as stack:
        try:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nsad-recorded-")))
            with tarfile.open(archive) as file:
                file.extractall(home, filter="data")
        except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
            missing = isinstance(error, FileNotFoundError)
            why = f"{archive} does not exist" if missing else f"{archive}: {error}"
            raise NsadError("the recorded run cannot be shown", why, fix) from error
        if not any((path / "manifest.json").is_file() for path in home.iterdir()):
            raise NsadError("the recorded run cannot be shown", f"{archive} contains no run", fix)
        yield home

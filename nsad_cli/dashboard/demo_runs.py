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
"""Run folders, one at the top each; made by tests/record_run.py, of `nsad demo` and a copy with another ranker."""


@contextlib.contextmanager
def recorded_runs(archive: Path = ARCHIVE) -> Iterator[Path]:
    """A folder of recorded runs, unpacked for as long as the context lasts: what is done to it is lost.

    Raises NsadError where the archive is missing, cannot be read or unpacked, or holds no run.
    """
    fix = "install nsad again, or make a run of your own with `nsad demo`"
    with contextlib.ExitStack() as until_the_end:
        try:
            home = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="nsad-recorded-")))
            with tarfile.open(archive) as file:
                file.extractall(home, filter="data")
        except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
            missing = isinstance(error, FileNotFoundError)
            why = f"{archive} is not there" if missing else f"{archive}: {error}"
            raise NsadError("the recorded run cannot be shown", why, fix) from error
        if not any((path / "manifest.json").is_file() for path in home.iterdir()):
            raise NsadError("the recorded run cannot be shown", f"{archive} holds no run", fix)
        yield home

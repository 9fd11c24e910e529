"""Read access to a run's store while other processes write to it; reopened if the file is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.store.pages import StorePages
from nsad_cli.store.sqlite import read_mode

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.runs.run import Run

FileId = tuple[str, int, int]


def file_id(path: Path) -> FileId:
    """Return an identifier that changes if the file is replaced by another one of the same name."""
    stat = path.stat()
    return str(path), stat.st_dev, stat.st_ino


class StoreFollower:
    """An open store, with detection of changes made by other processes."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._pages: StorePages | None = None
        self._file: tuple[FileId, str] | None = None
        self._version: int | None = None
        self._located: tuple[object, Path, str | None] | None = None

    def locate(self, run: Run) -> tuple[Path, str | None]:
        """Return the path of a run's store, and the parameters of the samples it trains on, if known.

        The manifest is read only if it has changed, because it lists every problem and may be long.

        Raises:
            NsadError: The manifest cannot be read.
        """
        try:
            stat = (run.path / "manifest.json").stat()
            now = (run.path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            now = None
        if now is None or self._located is None or self._located[0] != now:
            collected = run.stages().get("collect")
            result = collected.get("result") if isinstance(collected, dict) else None
            self._located = (now, run.store_path, result.get("params") if isinstance(result, dict) else None)
        return self._located[1:]

    @property
    def pages(self) -> StorePages:
        """The open store.

        Raises:
            NsadError: The store is not open.
        """
        if self._pages is None:
            raise NsadError("the store is not open", "it could not be read", "press 5 to try again")
        return self._pages

    def check(self, path: Path) -> bool:
        """Open the store if needed, and return whether it has changed since the last call; this is cheap.

        Raises:
            NsadError: The store cannot be read.
            OSError: The store does not exist.
        """
        file = file_id(path), read_mode(path)
        if file != self._file:
            self.close()
            self._pages, self.path, self._file = StorePages(path), path, file
        version = self.pages.version()
        changed = version != self._version
        self._version = version
        return changed

    def close(self) -> None:
        """Close the store; the next `check` opens it again."""
        if self._pages is not None:
            self._pages.__exit__(None, None, None)
        self._pages = self.path = self._file = self._version = None

"""The store of a run as a screen follows it: opened to read, and opened anew where the file is another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.store.pages import StorePages

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.runs.run import Run

FileId = tuple[str, int, int]


def file_id(path: Path) -> FileId:
    """What tells a file from another one that takes its name later."""
    stat = path.stat()
    return str(path), stat.st_dev, stat.st_ino


class StoreFollower:
    """A store that other processes write, and whether they have."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._pages: StorePages | None = None
        self._file: FileId | None = None
        self._version: int | None = None
        self._located: tuple[object, Path, str | None] | None = None

    def locate(self, run: Run) -> tuple[Path, str | None]:
        """Where a run's store is, and the parameters of the draws that it learns from, as far as it knows them.

        The manifest is read where it has changed: it names every problem, and may be long. Raises NsadError for one
        that cannot be read.
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
        """The store, open.

        Raises NsadError where it is not.
        """
        if self._pages is None:
            raise NsadError("the store is not open", "it could not be read", "press 5 to look again")
        return self._pages

    def check(self, path: Path) -> bool:
        """Whether the store says something else than at the last look; costs next to nothing.

        Raises NsadError where it cannot be read, OSError where it is gone.
        """
        file = file_id(path)
        if file != self._file:
            self.close()
            self._pages, self.path, self._file = StorePages(path), path, file
        version = self.pages.version()
        changed = version != self._version
        self._version = version
        return changed

    def close(self) -> None:
        """Let the file go; the next look opens it anew."""
        if self._pages is not None:
            self._pages.__exit__(None, None, None)
        self._pages = self.path = self._file = self._version = None

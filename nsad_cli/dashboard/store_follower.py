"""The store of a run as a screen follows it: opened to read, and opened anew where the file is another one."""

from __future__ import annotations

from pathlib import Path

from nsad_cli.errors import NsadError
from nsad_cli.runs import Run
from nsad_cli.store_pages import StorePages

FileId = tuple[str, int, int]


def file_id(path: Path) -> FileId:
    """What tells a file from another one that takes its name later."""
    stat = path.stat()
    return str(path), stat.st_dev, stat.st_ino


def params_of(run: Run) -> str | None:
    """The parameters of the draws that the run learns from, as far as it knows them."""
    collected = run.stages().get("collect")
    result = collected.get("result") if isinstance(collected, dict) else None
    return result.get("params") if isinstance(result, dict) else None


class StoreFollower:
    """A store that other processes write, and whether they have."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._pages: StorePages | None = None
        self._file: FileId | None = None
        self._version: int | None = None

    @property
    def pages(self) -> StorePages:
        """The store, open.

        Raises NsadError where it is not.
        """
        if self._pages is None:
            raise NsadError("the store is not open", "it could not be read", "press 5 to look again")
        return self._pages

    def look(self, path: Path) -> bool:
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

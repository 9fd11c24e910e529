"""Incremental reading of a growing file, with detection of truncation, replacement and deletion."""

from __future__ import annotations

import os
from io import FileIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 1 << 17
"""Default maximum size of one read in bytes."""
MAX_LINE_BYTES = 1 << 23
"""Longer lines are skipped, so that a file without line breaks does not exhaust the memory."""
COMPARED_BYTES = 64
"""Number of the last bytes read that are compared before each read, to detect that the file was rewritten."""


class FileTail:
    """Reader of a file that other processes append to; each read continues where the last one stopped.

    An incomplete last line is returned once its line break is written. If the file was truncated or replaced after
    something was read, reading restarts at its beginning and `restarts` is incremented: lines read before are invalid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = False
        """Whether the last read left unread data."""
        self.restarts = 0
        self.skipped_lines = 0
        """Number of lines skipped because they were too long."""
        self.note = ""
        """Why the file cannot be read at the moment; empty if it can."""
        self._identity: tuple[int, int] | None = None
        self._reset()

    def _reset(self) -> None:
        self._offset, self._last_bytes, self._partial_line, self._too_long = 0, b"", bytearray(), False
        self.skipped_lines = 0

    def read(self, limit: int = CHUNK_BYTES) -> list[bytes]:
        """Return the lines completed by the next `limit` bytes, without line breaks; `note` reports errors."""
        self.pending = False
        try:
            with FileIO(self.path) as file:
                chunk = self._next(file, limit)
        except FileNotFoundError:
            shown = "; the data read before is shown" if self._offset else ""
            self.note = "does not exist yet" if self._identity is None else f"was deleted{shown}"
            return []
        except OSError as error:
            self.note = f"cannot be read: {error.strerror or error}"
            return []
        self.note = ""
        return self._lines(chunk)

    def _next(self, file: FileIO, limit: int) -> bytes:
        status = os.fstat(file.fileno())
        identity = (status.st_dev, status.st_ino)
        if self._offset and (
            identity != self._identity
            or status.st_size < self._offset
            or self._read_last_bytes(file) != self._last_bytes
        ):
            self._reset()
            self.restarts += 1
        self._identity = identity
        file.seek(self._offset)
        chunk = file.read(limit)
        self._offset += len(chunk)
        self._last_bytes = (self._last_bytes + chunk[-COMPARED_BYTES:])[-COMPARED_BYTES:]
        self.pending = self._offset < status.st_size
        return chunk

    def _read_last_bytes(self, file: FileIO) -> bytes:
        file.seek(self._offset - len(self._last_bytes))
        return file.read(len(self._last_bytes))

    def _lines(self, chunk: bytes) -> list[bytes]:
        first, *more = chunk.split(b"\n")
        if not self._too_long:
            self._partial_line += first
        if len(self._partial_line) > MAX_LINE_BYTES:
            self._too_long = True
            self._partial_line.clear()
        if not more:
            return []
        lines = [bytes(self._partial_line), *more[:-1]]
        if self._too_long:
            self.skipped_lines += 1
            self._too_long = False
            del lines[0]
        self._partial_line = bytearray(more[-1])
        return lines

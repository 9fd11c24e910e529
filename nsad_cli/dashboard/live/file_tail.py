"""A growing file's new lines: only new bytes are read, and a file that is cut, replaced or gone is noticed."""

from __future__ import annotations

import os
from io import FileIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 1 << 17
"""Bytes that one read takes at most, unless told."""
MAX_LINE_BYTES = 1 << 23
"""Bytes; a longer line is passed over, so that a file without line ends fills no memory."""
COMPARED_BYTES = 64
"""Last bytes read that are compared before more is read: others there mean another file."""


class FileTail:
    """Reads a file that others append to, from where it stopped.

    A last line without its end waits until it has one. Where the file was truncated or is another one than before,
    reading starts at its beginning and `restarts` grows: what was read until then no longer holds. Where nothing was
    read, there is nothing to begin anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = False
        """Whether there was more to read than the last read took."""
        self.restarts = 0
        self.skipped_lines = 0
        """Lines that were too long."""
        self.note = ""
        """Why nothing can be read at the moment, or nothing."""
        self._identity: tuple[int, int] | None = None
        self._reset()

    def _reset(self) -> None:
        self._offset, self._last_bytes, self._partial_line, self._too_long = 0, b"", bytearray(), False
        self.skipped_lines = 0

    def read(self, limit: int = CHUNK_BYTES) -> list[bytes]:
        """The lines that end within the next `limit` bytes, without their ends; `note` says what is amiss."""
        self.pending = False
        try:
            with FileIO(self.path) as file:
                chunk = self._next(file, limit)
        except FileNotFoundError:
            shown = "; what it had is shown" if self._offset else ""
            self.note = "is not there yet" if self._identity is None else f"is gone{shown}"
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

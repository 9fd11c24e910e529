"""A process in a terminal of 80 × 24 cells, its screen, and a person's keys."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

CLEAR = "\x1b[2J"
STYLES = re.compile(r"\x1b\[[\d;]*m")
PATIENCE = 60.0


class Terminal:
    """`nsad` with its input and error output in a terminal, and its results in a pipe."""

    def __init__(self, home: Path, *arguments: str, size: tuple[int, int] = (24, 80)) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, size)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nsad_cli", *arguments],
            cwd=home,
            env={**os.environ, "NSAD_HOME": "runs", "TERM": "xterm", "OMP_NUM_THREADS": "1"},
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        os.close(slave)
        self._received = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        os.close(self._master)

    @property
    def raw(self) -> str:
        """All that the terminal was sent."""
        return self._received.decode(errors="replace")

    @property
    def screen(self) -> str:
        """What was written since the screen was last cleared, without styles."""
        return STYLES.sub("", self.raw.rpartition(CLEAR)[2]).replace("\r\n", "\n").removeprefix("\x1b[H")

    def wait_for(self, text: str, drawn: int = 1) -> str:
        """The screen, once it was drawn so often, shows a text, and waits for a key (keys typed before are dropped)."""
        end = time.monotonic() + PATIENCE
        while text not in self.screen or self.raw.count(CLEAR) < drawn or not self._waits():
            assert time.monotonic() < end, f"no `{text}` in:\n{self.screen}"
            assert self._process.poll() is None, f"no `{text}` in:\n{self.screen}"
            self._read()
        self._read()  # it waits, so all of its screen is written
        return self.screen

    def wait_for_line(self, text: str) -> None:
        """Wait until a text is written; the process may read whole lines."""
        end = time.monotonic() + PATIENCE
        while text not in self.raw:
            assert time.monotonic() < end, f"no `{text}` in:\n{self.raw}"
            assert self._process.poll() is None, f"no `{text}` in:\n{self.raw}"
            self._read()

    def press(self, key: str, text: str) -> str:
        """Press a key; the screen, once it shows a text."""
        drawn = self.raw.count(CLEAR)
        os.write(self._master, key.encode())
        return self.wait_for(text, drawn + 1)

    def type_line(self, text: str) -> None:
        """Type a line."""
        os.write(self._master, f"{text}\n".encode())

    def end(self, key: str) -> tuple[int, str]:
        """Press a last key; the exit code and standard output."""
        os.write(self._master, key.encode())
        stdout, _ = self._process.communicate(timeout=PATIENCE)
        self._read()
        return self._process.returncode, stdout

    def _waits(self) -> bool:
        return not termios.tcgetattr(self._master)[3] & termios.ICANON

    def _read(self) -> None:
        """Take what is there, and wait a moment for it where nothing is."""
        while select.select([self._master], [], [], 0.05)[0]:
            try:
                self._received += os.read(self._master, 65536)
            except OSError:  # the process has closed its end
                return

"""A real terminal: a shell inside tmux, what its screen shows, and a person's keys."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

PATIENCE = 40.0
PROMPT = "ready:"


class Tmux:
    """A tmux server of its own with one window, in which a shell runs."""

    def __init__(self, folder: Path, size: tuple[int, int] = (100, 30), **variables: str) -> None:
        self._name = f"nsad-test-{os.getpid()}"
        self._environment = {**os.environ, "LC_ALL": "C.UTF-8", "ENV": "", **variables}
        self._environment.pop("TMUX", None)
        width, height = map(str, size)
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, "-c", str(folder), "sh")
        self.type(f"PS1={PROMPT}; clear", "Enter")
        self.wait_for(lambda screen: screen.strip() == PROMPT)

    def __enter__(self) -> Tmux:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tmux("kill-server")

    @property
    def screen(self) -> str:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p")

    def flag(self, name: str) -> str:
        """A state of the terminal by tmux's name for it, such as alternate_on."""
        return self._tmux("display-message", "-p", f"#{{{name}}}").strip()

    def type(self, *keys: str) -> None:
        """Press keys; Enter, Escape and the like by their names."""
        self._tmux("send-keys", *keys)

    def wait_for(self, shown: str | Callable[[str], object], patience: float = PATIENCE) -> str:
        """The screen, once it shows a text, or something that a function finds on it."""
        end = time.monotonic() + patience
        while not (shown in (screen := self.screen) if isinstance(shown, str) else shown(screen := self.screen)):
            assert time.monotonic() < end, f"not so, `{shown}`:\n{screen}"
            time.sleep(0.1)
        return screen

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-L", self._name, *arguments]
        return subprocess.run(command, env=self._environment, check=True, capture_output=True, text=True).stdout

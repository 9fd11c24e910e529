"""Server processes that misbehave (tests.helpers.faulty_server), started by tests and benchmarks, and their logs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class FaultyServer:
    """A running server process."""

    url: str
    log: Path

    def lines(self) -> list[list[str]]:
        """Everything it has logged: kind, question, text."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def paid(self) -> list[str]:
        """The texts of all choices that it has sent in full."""
        return [text for kind, _, text in self.lines() if kind not in ("came", "fatal")]

    def refused(self) -> int:
        """The number of requests that it has refused for a reason that concerns all requests."""
        return sum(kind == "fatal" for kind, _, _ in self.lines())


@contextmanager
def faulty_servers(folder: Path, *options: tuple[str, ...]) -> Iterator[list[FaultyServer]]:
    """Start one server process for each tuple of options; killed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    processes, servers = [], []
    try:
        for number, chosen in enumerate(options):
            port, log = folder / f"port{number}", folder / f"log{number}"
            command = [sys.executable, "-m", "tests.helpers.faulty_server", str(port), str(log), *chosen]
            processes.append(subprocess.Popen(command))
            while not port.exists():
                assert processes[-1].poll() is None
                time.sleep(0.02)
            servers.append(FaultyServer(f"http://127.0.0.1:{port.read_text()}/v1", log))
        yield servers
    finally:
        for process in processes:
            process.kill()
            process.wait()

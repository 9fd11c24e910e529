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

COLLECT = """
import sys
from pathlib import Path
from nsad_cli.collection.collect import collect
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from tests.helpers.questions import numbered_problems
concurrency, timeout = int(sys.argv[5]), float(sys.argv[6])
settings = TeacherConfig(base_url=[sys.argv[1]], prompt="{question}", concurrency=concurrency, timeout=timeout)
with Store(Path(sys.argv[2])) as store:
    summary = collect(numbered_problems(int(sys.argv[3])), make_teacher("m", settings), int(sys.argv[4]), store)
print(summary.stored, len(summary.failures), flush=True)
"""
"""A program that collects numbered problems and prints the draws stored and the failures."""
SHOW_NOTES = """
import logging, sys
logging.basicConfig(stream=sys.stdout, level=25, format="%(message)s")
"""


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


def collecting(
    url: str,
    store: Path,
    problems: int,
    draws: int,
    concurrency: int = 64,
    timeout: float = 20,
    *,
    notes: bool = False,
    stderr: int | None = None,
) -> subprocess.Popen[str]:
    """Start a process that collects from a server into a store; with `notes` its notes come before the result."""
    numbers = map(str, (problems, draws, concurrency, timeout))
    return subprocess.Popen(
        [sys.executable, "-c", (SHOW_NOTES if notes else "") + COLLECT, url, str(store), *numbers],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )

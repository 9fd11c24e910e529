"""`nsad serve` as a process, with its base URL and its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 120.0


@dataclass
class Served:
    """A running server."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[str] = field(default_factory=list)

    def end(self, *, how: signal.Signals = signal.SIGTERM, timeout: float = 60.0) -> int:
        """Stop it; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout)


@contextlib.contextmanager
def serving(home: Path, *arguments: str, **variables: str) -> Iterator[Served]:
    """Serve a run of a folder of runs on a free port."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NSAD_", "OPENAI_"))}
    environment |= {"NSAD_HOME": str(home), "OMP_NUM_THREADS": "1", **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "nsad_cli", "serve", "--port", "0", *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    served, ready = Served(process), threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            served.lines.append(line)
            if found := re.search(r"serving .* at (http://\S+)", line):
                served.url = found[1]
                ready.set()
        ready.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        ready.wait(START_SECONDS)
        assert served.url, "".join(served.lines)
        yield served
    finally:
        process.kill()
        process.wait()
        thread.join()
        if process.stderr is not None:
            process.stderr.close()

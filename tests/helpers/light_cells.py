"""Cells whose process counts steps instead of training: it loads no model, and writes checkpoints as a cell does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.config.validation import validate_recipe
from nsad_cli.study import cell_job

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nsad_cli.config.schema import Recipe

LAST_STEP = 3
STEPS = """
import signal, sys, time
from pathlib import Path

folder, last = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
checkpoint = folder / "checkpoint"
first = int(checkpoint.read_text()) if checkpoint.exists() else 0
with open(folder / "log", "a") as log:
    for step in range(first + 1, 10**6):
        time.sleep(0.1)
        print(step, file=log, flush=True)
        if stopped:
            checkpoint.write_text(str(step))
            sys.exit(130)
        if step >= last and not (folder / "hold").exists():
            break
(folder / "finished").touch()
"""


def start(name: str, *_: Any) -> subprocess.Popen[str]:
    """Start the process of a cell; see study.process.start."""
    command = [sys.executable, "-I", "-S", "-c", STEPS, str(LightRun(name).path), str(LAST_STEP)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class LightJob(cell_job.CellJob):
    """The job of a light cell."""

    def __call__(self) -> tuple[str, str, str] | None:
        vars(cell_job)["start"] = start
        return super().__call__()


@dataclass(frozen=True)
class LightRun:
    """The files of a light cell, in the folder of all runs."""

    name: str

    @property
    def path(self) -> Path:
        from nsad_cli.runs.run import runs_home

        return runs_home() / self.name

    def stages(self) -> dict[str, Any]:
        return {"eval": {"state": "finished"}} if (self.path / "finished").exists() else {}

    def hold(self) -> None:
        """Keep the cell's process at work until `release`."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "hold").touch()

    def release(self) -> None:
        (self.path / "hold").unlink()

    @property
    def steps(self) -> list[int]:
        """The steps that its processes have run, in order."""
        log = self.path / "log"
        return [int(line) for line in log.read_text().split()] if log.exists() else []


@dataclass(frozen=True)
class LightCell:
    """What `study.jobs` reads of a cell; `keys` are those of its first stages."""

    name: str
    keys: frozenset[str] = frozenset()
    study: str = "s"
    trained: Sequence[str] = ()
    recipe: Recipe = field(default_factory=lambda: validate_recipe({}, "test"))

    @property
    def run(self) -> LightRun:
        return LightRun(self.name)

"""Runs that are killed in the middle of a stage and resumed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from nsad_cli.config.stages import RUN_ORDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.runs.run import Run

RESUME = """
import sys
from pathlib import Path
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.cli.console import set_up_logging
from nsad_cli.runs.run import Run
set_up_logging()
if len(sys.argv) > 3:
    # Slow steps down, so that the kill falls between two of them.
    import time
    from nsad_cli.training.trainer import StageTrainer
    plain = StageTrainer.training_step
    StageTrainer.training_step = lambda self, *args, **kwargs: (time.sleep(0.1), plain(self, *args, **kwargs))[1]
run_stages(Run.open(sys.argv[1]), sys.argv[2].split())
"""


def killed_in_turn(run: Run, stages: Sequence[str], *, longest: float) -> None:
    """SIGKILL in every stage, up to `longest` seconds after its first checkpoint, and resume to the end at last."""
    random_ = random.Random()
    command = [sys.executable, "-c", RESUME, run.name, " ".join(RUN_ORDER[: RUN_ORDER.index(stages[-1]) + 1])]
    for i, stage in enumerate(stages):
        process = subprocess.Popen([*command, "slowly"], stderr=subprocess.PIPE, text=True)
        checkpoints = run.path / "checkpoints" / stage
        while process.poll() is None and not list(checkpoints.glob("checkpoint-*/complete")):
            time.sleep(0.02)
        time.sleep(random_.uniform(0, longest))
        assert process.poll() is None, f"ended before a checkpoint of {stage}"
        os.kill(process.pid, signal.SIGKILL)
        _, said = process.communicate()
        assert run.stages()[stage]["state"] == "running"
        assert i == 0 or f"{stages[i - 1]}: resuming at step" in said
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"{stages[-1]}: resuming at step" in done.stderr

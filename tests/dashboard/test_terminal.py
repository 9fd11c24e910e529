"""The dashboard in a real terminal, beside a training that is real too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from tests.helpers.tiny_recipes import STAGE, recipe
from tests.helpers.tmux import PATIENCE, PROMPT, Tmux

if TYPE_CHECKING:
    from pathlib import Path

LOSS = re.compile(r"^loss +([\d.]+)", re.MULTILINE)


def started(run: Run, stage: str) -> bool:
    """Whether the run has told of a step of a stage."""
    return any(event.stage == stage for event in run.events.read())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
def test_a_real_training_is_watched_to_its_end(tiny_llama: Path, tmp_path: Path) -> None:
    changed = {"negative": {**STAGE, "epochs": 100}, "nat": STAGE}
    run = Run.create("watched", recipe(tiny_llama, training={"held_out": 0.1, **changed}))
    run_stages(run, ["collect", "grade"])
    nsad = [sys.executable, "-m", "nsad_cli"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        (tmp_path / "training.log").open("w") as log,
        Tmux(tmp_path, NSAD_HOME=str(run.path.parent)) as terminal,
        subprocess.Popen([*nsad, "train-nat", "--run", run.name], env=environment, stdout=log, stderr=log) as training,
    ):
        try:
            end = time.monotonic() + PATIENCE
            while not started(run, "negative"):
                assert training.poll() is None, (tmp_path / "training.log").read_text()
                assert time.monotonic() < end, (tmp_path / "training.log").read_text()
                time.sleep(0.1)
            terminal.type(" ".join([*nsad, "dashboard", "--run", run.name, "--view", "curves"]), "Enter")
            screen = terminal.wait_for(LOSS.search)
            assert run.name in screen
            assert "negative" in screen
            for _ in range(3):  # the loss moves, and its line with it
                told, before = LOSS.findall(screen), screen
                screen = terminal.wait_for(lambda now, told=told: LOSS.findall(now) not in ([], told))  # type: ignore[misc]
                assert screen.splitlines()[3:] != before.splitlines()[3:]
            assert training.poll() is None, "it was seen while it was at work"
            terminal.type("1")
            terminal.wait_for("running")
            screen = terminal.wait_for("finished", 2 * PATIENCE)
            assert run.name in screen
            assert "running" not in screen
            assert training.wait(PATIENCE) == 0, (tmp_path / "training.log").read_text()
            assert terminal.flag("alternate_on") == "1"
        finally:
            training.kill()
        terminal.type("q")
        screen = terminal.wait_for(lambda screen: screen.rstrip().endswith(PROMPT) and "finished" not in screen)
        assert [terminal.flag(name) for name in ("alternate_on", "mouse_any_flag", "cursor_flag")] == ["0", "0", "1"]
        terminal.type("echo code $? and $((1 + 1))", "Enter")
        terminal.wait_for("code 0 and 2")

"""The packages of trackers themselves, without a network; each test is skipped if its package is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nsad_cli.runs.run import Run, runs_home
from tests.helpers.nsad_process import failure, run_nsad

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a-secret-of-this-machine"
CODE = """
import sys
from nsad_cli.config.validation import validate_recipe
from nsad_cli.runs.run import Run
from nsad_cli.runs.trackers.listener import tracking
from nsad_cli.utils.logs import logger
import logging
logger.addHandler(logging.StreamHandler())
tracker, prompt, first, end = sys.argv[1:]
run = Run.create("r", validate_recipe({"report_to": [tracker], "teacher": {"prompt": prompt}}, "test"))
with tracking(run), run.stage("nat", "key"):
    for step in range(int(first), int(end)):
        run.events.emit("nat", step, 9, loss=1 / step)
    if step < 8:
        raise KeyboardInterrupt
"""


def train(tracker: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log a stage that is interrupted and resumed, in two processes; the run's folder."""
    if importlib.util.find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed: pip install 'nsad[{tracker}]'")
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    for first, end, ended in (("1", "6", 1), ("4", "9", 0)):
        command = [sys.executable, "-c", CODE, tracker, SECRET + " {question}", first, end]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert min(abs(done.returncode), 1) == ended, done.stderr
        assert "not reported" not in done.stderr
        assert done.stdout == "", "stdout is for results"
    return runs_home() / "r"


def test_tensorboard_reads_the_event_files(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = train("tensorboard", monkeypatch) / "tensorboard"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    assert [point.step for point in events.Scalars("nat/loss")] == list(range(1, 9))


def test_trackio_writes_a_local_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    train("trackio", monkeypatch)
    (path,) = (tmp_path / "trackio").glob("nsad.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step").fetchall()
        configs = [text for (text,) in database.execute("SELECT config FROM configs")]
    assert {name for name, _, _ in rows} == {Run.open("r").identifier}
    assert [(step, json.loads(text)) for _, step, text in rows] == [(k, {"nat/loss": 1 / k}) for k in range(1, 9)]
    assert len(configs) == 1
    config = json.loads(configs[0])
    assert config["training.nat.learning_rate"] == 3e-4
    assert SECRET not in str(config)


def test_wandb_writes_offline_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = train("wandb", monkeypatch)
    logs = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(logs) == 2, "one for each process, of the same run"
    for log in logs:
        content = log.read_bytes()
        assert log.stem == f"run-{Run.open('r').identifier}"
        assert b"nat/loss" in content
        assert b"training.nat.learning_rate" in content
        for hidden in (SECRET, sys.executable):
            assert hidden.encode() not in content


def test_a_missing_package_is_reported_before_anything_is_collected(tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text("import sys\nsys.modules['trackio'] = None\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run_nsad(tmp_path / "home", "run", "demo", "--set", "report_to=[trackio]", PYTHONPATH=path)
    assert "pip install" in failure(done, 1)[2]

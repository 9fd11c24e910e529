"""`nsad runs`: states of runs, and how to resume them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nsad_cli.cli.runs import MAX_COMMANDS, _print, _rows
from nsad_cli.cli.stats import stats
from nsad_cli.config.schema import Recipe
from nsad_cli.runs.command import set_command
from nsad_cli.runs.run import Run, list_runs
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.run_folders import finished, make_run

if TYPE_CHECKING:
    from pathlib import Path


def test_an_unfinished_run_shows_the_command_that_resumes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("nsad_cli.runs.command._current", [])
    run = Run.create("old", Recipe())
    with run.stage("collect", "key"):
        pass
    set_command(["run", "demo", "--set", "student.template=a very long prompt: {question}, on one line", "--run", "x"])
    run = Run.create("x", Recipe())
    with pytest.raises(ValueError, match="why"), run.stage("nat", "key"):
        raise ValueError("why")
    rows = {row["run"]: row for row in _rows(list_runs())}
    assert (rows["x"]["state"], rows["x"]["run_state"]) == ("failed", "failed")
    assert (rows["old"]["state"], rows["old"]["run_state"]) == ("finished", "unfinished")
    assert rows["old"]["command"] == "nsad grade --run old"
    _print(list(rows.values()))
    lines = capsys.readouterr().out.splitlines()
    assert f"to resume x: {rows['x']['command']}" in lines, "on one line, to be copied"
    assert all(len(line) <= 80 for line in lines if not line.startswith(("to resume", "Runs in")))


def test_the_effect_of_negatives_is_a_line_below_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NSAD_HOME", str(tmp_path))
    negatives = [{"model": model, "benchmark": "b", "n": 32, "kl": kl} for model, kl in (("nat", 3e-4), ("other", 1.0))]
    for number in range(7):
        make_run(tmp_path, f"run-{number}", {"eval": finished(50, 5, negatives=negatives)})
    make_run(tmp_path, "plain", {"eval": finished(50, 5)})
    rows = _rows(list_runs())
    assert {row["run"]: len(row["negatives"]) for row in rows}["plain"] == 0
    _print(rows)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("effect of negatives")]
    assert len(lines) == MAX_COMMANDS
    assert {line.partition(": ")[2] for line in lines} == {"KL 0.0003: none"}
    stats(run_name="run-3")
    shown = capsys.readouterr().out
    assert "effect of negatives on nat (b, 32 greedy chains): KL 0.0003 nats a token: none" in shown
    assert "effect of negatives on other (b, 32 greedy chains): KL 1.0000 nats a token: clear" in shown


def test_a_command_that_fails_prints_how_to_resume(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = ("collect", "--limit", "2", "--draws", "2", "--json")
    name = json.loads(run_nsad(home, *command).stdout)["run"]
    (home / "runs" / name / "store.sqlite").write_bytes(b"damaged" * 1000)
    again = ("collect", "--run", name, "--set", "problems.train=arithmetic:train", "--draws", "3")
    lines = failure(run_nsad(home, *again), 1)
    assert lines[2].endswith(f"; to resume: nsad {' '.join(again)}")

"""`nsad runs`: states of runs, and how to resume them."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from nsad_cli.cli.render.runs import runs_table
from nsad_cli.cli.runs import MAX_COMMANDS, _print, _rows
from nsad_cli.cli.stats import stats
from nsad_cli.config.schema import Recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.runs.command import set_command
from nsad_cli.runs.manage import move_to_bin, rename_run
from nsad_cli.runs.overview import accuracies
from nsad_cli.runs.run import Run, list_runs
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.run_folders import evaluated, finished, make_run, trained

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


def commands(tmp_path: Path, *arguments: str, code: int = 0) -> dict[str, object]:
    """The JSON of a command of `nsad runs`, in a folder of runs."""
    done = run_nsad(tmp_path, "runs", *arguments, "--json")
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


def test_a_run_is_renamed_annotated_and_removed(tmp_path: Path) -> None:
    home = tmp_path / "runs"
    made = {"argv": ["demo", "--set", "seed=1"], "folder": "/somewhere"}
    make_run(home, "first", {**trained(), "eval": evaluated(100, 5)})
    manifest = json.loads((home / "first" / "manifest.json").read_text())
    manifest["command"] = made
    del manifest["stages"]["eval"]
    (home / "first" / "manifest.json").write_text(json.dumps(manifest))
    make_run(home, "second", {"eval": evaluated(100, 5)})
    run_nsad(tmp_path, "runs", "use", "first")
    commands(tmp_path, "note", "first", "a [bold]note[/]")
    assert commands(tmp_path, "rename", "first", "mine")["run"] == "mine"
    shown = commands(tmp_path, "show", "mine")
    assert (shown["note"], shown["chosen"]) == ("a [bold]note[/]", True)
    assert shown["command"] == "nsad run demo --set seed=1 --run mine"
    assert "a [bold]note[/]" in run_nsad(tmp_path, "runs", "show", "mine").stdout
    assert failure(run_nsad(tmp_path, "runs", "rename", "mine", "second"), 2)[0] == "error: `second` exists already"
    assert failure(run_nsad(tmp_path, "runs", "rename", "mine", "../x"), 2)
    assert failure(run_nsad(tmp_path, "runs", "rm", "mine"), 2)[2].endswith("add --yes")
    removed = commands(tmp_path, "rm", "mine", "second", "--yes")["removed"]
    assert [row["run"] for row in removed] == ["mine", "second"]  # type: ignore[attr-defined]
    assert commands(tmp_path) == {"runs": []}
    assert sorted(path.name.rpartition("-")[0][:6] for path in (home / ".bin").iterdir()) == ["mine-2", "second"]
    assert not (home / ".chosen").exists()


def test_a_run_whose_rationales_others_use_and_a_running_one_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSAD_HOME", str(tmp_path))
    owner = Run.create("owner", Recipe())
    Run.create("other", Recipe(), store=owner.store_path)
    for change in (lambda: move_to_bin(owner), lambda: rename_run(owner, "new")):
        with pytest.raises(UsageError, match="holds the rationales of run `other`"):
            change()
    other = Run.open("other")
    with other.lock(), pytest.raises(NsadError, match="in use"):
        move_to_bin(other)
    assert other.path.is_dir()
    move_to_bin(other)
    assert rename_run(owner, "new").manifest()["name"] == "new"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_number_of_the_list_is_cut(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_HOME", str(tmp_path))
    make_run(tmp_path, "a-run-with-a-long-name.of-a-study.7", {**trained(), "eval": evaluated(100, 5)})
    (row,) = rows = _rows(list_runs())
    measured = [(found["rule"], found["accuracy"]) for found in row["accuracy"]]
    assert measured == [(None, 0.4), ("sc", 0.44), ("asc", 0.52), ("any", 0.8)]
    assert row["loss"] == {"stage": "nce", "value": 0.07}
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(runs_table("Runs", rows, row["created"] + 60))
    shown = console.export_text()
    assert all(number in shown for number in ("0.070", "40.0%", "44.0%", "52.0%", "60 s"))
    assert max(map(len, shown.splitlines())) <= width


def test_a_baseline_is_shown_by_its_own_accuracy_and_loss() -> None:
    rows = [{"model": name, "rule": None, "accuracy": 0.5, "n": n} for name, n in (("base", 5), ("mix", 4), ("mix", 4))]
    assert accuracies(rows) == [{"model": "mix", "rule": None, "accuracy": 0.5, "n": 8}]
    assert accuracies([*rows, {"model": "nce", "rule": None, "accuracy": 1.0, "n": 1}])[0]["model"] == "nce"
    assert accuracies(rows[:1])[0]["model"] == "base"
    assert accuracies("damaged") == accuracies([{"model": "base"}, 7]) == []


def test_the_statistics_of_an_empty_run_have_no_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NSAD_HOME", str(tmp_path))
    Run.create("new", Recipe())
    stats(run_name="new")
    assert capsys.readouterr().out == ""

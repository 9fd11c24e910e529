"""Errors blame what is wrong, and say what to do."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

ROW = {"question": "1+1?", "answer": "2", "generated_answer": ["The answer is 2.", "3"]}


@pytest.mark.parametrize("command", [(), ("data",)])
def test_without_a_command_the_help_alone_is_printed(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run_nsad(tmp_path / "home", *command)
    assert done.returncode == 2
    assert "Usage" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("collect", "--limit", "-3"), 2, ("--limit",)),
        (("collect", "--set", "problems.limit=-3"), 2, ("problems.limit", "--set")),
        (("solve", "what", "is", "3", "+", "4"), 2, ('nsad solve "what is 3 + 4"',)),
        (("solve", "--file", "table.csv"), 2, ("is a table", ".jsonl")),
        (("solve", "--file", "array.json"), 2, ("JSON array",)),
        (("solve", "hi", "--run", "../x"), 2, ("`../x` is not a valid name",)),
        (("collect", "--run", ""), 2, ("`` is not a valid name",)),
        (("solve", "hi"), 2, ("there is no run yet", "nsad demo", "nsad run RECIPE")),
        (("run", "."), 2, ("it is a folder",)),
        (("run", "demo", "--device", "gpu"), 2, ("cuda:N",)),
        (("vote", "array.json"), 2, ("JSON array", "jq")),
        (("vote", "keys.jsonl"), 1, ("no problem with chains",)),
        (("train-ranker", "--kind", "head", "--run", "x"), 2, ("no run named",)),
    ],
)
def test_errors_name_the_cause(tmp_path: Path, command: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "table.csv").write_text("a,b\n")
    (home / "array.json").write_text(json.dumps([ROW]))
    (home / "keys.jsonl").write_text('{"id": 1}\n')
    done = run_nsad(home, *command)
    text = "\n".join(failure(done, code))
    assert all(word in text for word in words), text
    assert "KeyError" not in done.stderr
    assert not (home / "runs").exists(), "a failed command leaves nothing behind"


def test_vote_reads_standard_input(tmp_path: Path) -> None:
    done = run_nsad(tmp_path / "home", "vote", "-", "--json", stdin=json.dumps(ROW) + "\n")
    assert json.loads(done.stdout).items() >= {"rule": "sc", "n": 1, "accuracy": 1.0}.items()


def test_a_collection_that_fails_before_its_first_sample_leaves_no_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "empty.jsonl").write_text('{"question": "no rationale?", "answer": "1"}\n')
    failure(run_nsad(home, "collect", "--teacher", "jsonl:empty.jsonl"), 1)
    assert list((home / "runs").glob("*")) == []


def test_runs_created_in_the_same_second_have_two_names(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def collect(_: int) -> subprocess.CompletedProcess[str]:
        return run_nsad(home, "collect", "--limit", "1", "--draws", "1", "--json")

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(collect, range(3)))
    assert [result.returncode for result in done] == [0, 0, 0], done
    names = {json.loads(result.stdout)["run"] for result in done}
    assert names == {path.name for path in (home / "runs").iterdir() if path.is_dir()}


def test_solve_asks_for_a_problem_on_a_terminal(tmp_path: Path) -> None:
    with Terminal(tmp_path, "solve") as terminal:
        terminal.wait_for_line("Problem:")
        code, _ = terminal.end("What is 3 + 4?\n")
        assert code == 2
        assert "there is no run yet" in terminal.raw
    assert failure(run_nsad(tmp_path / "home", "solve"), 2)[0] == "error: give either PROBLEM or --file FILE"

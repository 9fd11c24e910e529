"""`nsad collect --teacher gpt-4` without problems: MATH, a quote, and a question before anything is spent."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

COLLECT = ("collect", "--teacher", "gpt-4")
SERVER = ("--base-url", "http://127.0.0.1:9/v1")
PRICE = ("--set", "teacher.price.input=1", "--set", "teacher.price.output=1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with seven problems in MATH's form."""
    folder = tmp_path / "data"
    (folder / "math").mkdir(parents=True)
    rows = [
        {"problem": f"What is {i}+1?", "level": "Level 1", "type": "Algebra", "solution": rf"\boxed{{{i + 1}}}"}
        for i in range(7)
    ]
    (folder / "math" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_a_missing_key_is_reported_first_and_nothing_is_left_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lines = failure(run_nsad(home, *COLLECT), 1)
    assert "no API key" in lines[0]
    assert list(home.iterdir()) == []


def test_without_data_and_network_both_ways_are_named_within_ten_seconds(tmp_path: Path) -> None:
    home, started = tmp_path / "home", time.monotonic()
    done = run_nsad(home, *COLLECT, OPENAI_API_KEY="x", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    lines = failure(done, 1)
    assert time.monotonic() - started < 30
    assert "NSAD_DATA" in lines[2]
    assert "--problems" in lines[2]
    assert list(home.iterdir()) == []


def test_without_a_terminal_it_needs_yes_or_a_limit(tmp_path: Path, data: Path) -> None:
    home = tmp_path / "home"
    done = run_nsad(home, *COLLECT, OPENAI_API_KEY="x", NSAD_DATA=str(data))
    lines = failure(done, 2)
    assert "56 samples" in lines[1]
    assert "--yes" in lines[2]
    assert "--max-cost" in lines[2]
    assert "MATH's training problems" in done.stderr
    assert "cost in US dollars" in done.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("agreed", [("--yes",), ("--max-cost", "1", *PRICE)])
def test_yes_and_a_limit_go_on_to_the_server(tmp_path: Path, data: Path, agreed: tuple[str, ...]) -> None:
    done = run_nsad(tmp_path / "home", *COLLECT, *agreed, *SERVER, OPENAI_API_KEY="x", NSAD_DATA=str(data))
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr, "the server cannot be reached: the request was tried"


def test_a_dry_run_and_named_problems_do_not_ask(tmp_path: Path, data: Path) -> None:
    quoted = run_nsad(tmp_path / "home", *COLLECT, "--dry-run", "--json", NSAD_DATA=str(data))
    assert json.loads(quoted.stdout)["to_ask"] == 56
    named = run_nsad(tmp_path / "home", *COLLECT, *SERVER, "--problems", f"math:train@{data / 'math'}")
    assert "confirm" not in named.stderr
    assert "127.0.0.1:9" in named.stderr


def test_the_built_in_teacher_takes_its_own_problems(tmp_path: Path) -> None:
    done = run_nsad(tmp_path / "home", "collect", "--limit", "3", "--draws", "2", "--json")
    assert json.loads(done.stdout)["draws"] == 6


@pytest.mark.slow
def test_on_a_terminal_it_asks(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_DATA", str(data))
    with Terminal(tmp_path, *COLLECT, *SERVER) as terminal:
        terminal.wait_for_line("Request 56 samples from gpt-4?")
        code, _ = terminal.end("n\n")
    assert code == 1
    assert "you declined" in terminal.raw
    assert not (tmp_path / "runs").exists()

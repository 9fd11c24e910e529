"""Control characters in data, files, servers and settings never reach the terminal; markup in them is text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.cli.console import set_up_logging
from nsad_cli.utils.logs import logger
from nsad_cli.utils.terminal_text import escape_json
from tests.helpers.json_server import json_server
from tests.helpers.nsad_process import run_nsad
from tests.helpers.recorded_run import nsad, run_command, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = "x\x1b]52;c;Zm9v\x07\x1b[31m\x9b31m\u202e[bold red]y[/bold red]\x08"
"""Sets the clipboard, colours, turns the direction of text; and markup of rich."""
FORBIDDEN = ("\x1b", "\x9b", "\x07", "\x08", "\u202e")


def assert_harmless(*texts: str) -> None:
    for text in texts:
        assert not [char for char in FORBIDDEN if char in text], repr(text)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def server() -> Iterator[str]:
    """A server whose every answer is an error with a hostile message."""
    with json_server({"error": {"message": f"bad {HOSTILE}"}}, status=400) as url:
        yield url


def test_a_servers_words(tmp_path: Path, server: str) -> None:
    done = run_nsad(
        tmp_path / "home", "collect", "--teacher", "m", "--base-url", server, "--problems", "arithmetic:train",
        "--limit", "1", "--draws", "1",
    )  # fmt: skip
    assert done.returncode == 1
    assert "bad x" in done.stderr
    assert_harmless(done.stderr, done.stdout)


def test_fields_of_a_vote_file(tmp_path: Path) -> None:
    chains = [{"text": f"The answer is {HOSTILE}.", "answer": HOSTILE}, {"text": HOSTILE, "answer": "2"}]
    row = {"id": HOSTILE, "question": HOSTILE, "gold": HOSTILE, "chains": chains}
    (tmp_path / "home").mkdir()
    path = tmp_path / "home" / "votes.jsonl"
    path.write_text("\n".join([json.dumps(row), json.dumps(row), json.dumps({HOSTILE: 1})]))
    done = run_nsad(tmp_path / "home", "vote", path.name)
    assert "too; both count" in done.stderr
    assert_harmless(done.stderr, done.stdout)


def test_names_of_files_and_keys_of_recipes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    name = f"{HOSTILE.replace('/', '')}.yaml"
    (home / name).write_text(json.dumps({HOSTILE: 1}))
    for arguments in (("run", name), ("run", f"no{name}"), ("collect", "--set", f"{HOSTILE}=1"), ("vote", name)):
        done = run_nsad(home, *arguments)
        assert done.returncode in (1, 2)
        assert_harmless(done.stderr, done.stdout)


def test_problems_and_rationales(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    rows = [
        {"question": f"{HOSTILE} {i}?", "answer": HOSTILE, "subject": HOSTILE, "generated_answer": [HOSTILE, "2"]}
        for i in range(3)
    ]
    (home / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for arguments in (
        ("collect", "--teacher", "jsonl:rows.jsonl", "--run", "r"),
        ("grade", "--run", "r"),
        ("grade", "--run", "r", "--json"),
        ("stats", "--run", "r"),
        ("stats", "--run", "r", "--json"),
        ("stats", "--run", "r", "--overlap", "jsonl@rows.jsonl"),
        ("runs",),
    ):
        done = run_nsad(home, *arguments)
        assert done.returncode == 0, done.stderr
        assert_harmless(done.stderr, done.stdout)


def test_a_question_and_its_votes(recorded: Path) -> None:
    question = f"Sara has 3 {HOSTILE.replace(chr(8), '')} apples. How many?"
    for verbose in ("--quiet", "-v"):
        done = run_command(recorded, "solve", question, "--run", "recorded", "--samples", "2", verbose)
        assert_harmless(done.stderr, done.stdout)
    solved, _ = nsad(recorded, "solve", question, "--run", "recorded", "--samples", "2")
    assert len(solved["chains"]) == 2
    for arguments in (("--explain", "-1"), ("--explain", "-1", "--json"), ()):
        done = run_command(recorded, "vote", "--run", "recorded", *arguments)
        assert_harmless(done.stderr, done.stdout)


def test_log_records(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=2)
    for level in (10, 20, 25, 30, 40):
        logger.log(level, "%s", HOSTILE)
    shown = capsys.readouterr().err
    assert shown.count("[bold red]y[/bold red]") == 5, "markup is text"
    assert_harmless(shown)


@given(st.text())
def test_escaped_json_has_the_same_value_and_no_control_character(text: str) -> None:
    escaped = escape_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(escaped) == {"a": text}
    assert_harmless(escaped)

"""Notes, --quiet and -v: what a command prints on stderr beside its result."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from nsad_cli.cli.console import StderrHandler, set_up_logging
from nsad_cli.cli.solve_list import progress
from nsad_cli.utils.logs import MAX_LINE_NOTES, NOTE, line_note, logger, muted_notes, note, shows_notes
from tests.helpers.notes import recorded_notes
from tests.helpers.recorded_run import QUESTION, run_command, unpack

if TYPE_CHECKING:
    from pathlib import Path

SOLVE = ("solve", QUESTION, "--run", "recorded", "--samples", "4")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("recorded"))


def test_quiet_solve_prints_the_answer_alone(recorded: Path) -> None:
    done = run_command(recorded, *SOLVE, "--quiet")
    assert done.stderr == ""
    assert done.stdout == "2\n"


def test_notes_are_printed_unless_quiet(recorded: Path) -> None:
    plain = run_command(recorded, *SOLVE)
    assert "run: recorded" in plain.stderr
    assert "no answer" in plain.stdout
    quiet = run_command(recorded, "stats", "-q", "--run", "recorded")
    assert quiet.stderr == ""
    assert "Stages" in quiet.stdout


def test_verbose_adds_detail_and_very_verbose_debug_records(recorded: Path) -> None:
    verbose, very = run_command(recorded, *SOLVE, "-v"), run_command(recorded, *SOLVE, "-vv")
    assert "chain 0" in verbose.stdout
    assert "student" in verbose.stderr, "an info record names the student's device and dtype"
    assert "opened" not in verbose.stderr
    assert "opened" in very.stderr, "a debug record names each database"


def test_json_stays_one_object_on_stdout(recorded: Path) -> None:
    done = run_command(recorded, *SOLVE, "--json", "-vv")
    assert json.loads(done.stdout)["chains"]
    assert done.stderr
    silent = run_command(recorded, *SOLVE, "--json", "--quiet")
    assert json.loads(silent.stdout)["chains"]
    assert silent.stderr == ""


def test_a_failure_is_printed_even_if_quiet(recorded: Path) -> None:
    done = run_command(recorded, "solve", "?", "--run", "none", "--quiet", code=2)
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == ["error", "why", "try"]


def test_levels_set_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for settings, shown in (
        ({"quiet": True}, ["warning: w"]),
        ({}, ["n", "warning: w"]),
        ({"verbose": 1}, ["i", "n", "warning: w"]),
        ({"verbose": 2}, ["d", "i", "n", "warning: w"]),
    ):
        set_up_logging(**settings)
        logger.debug("d")
        logger.info("i")
        note("n")
        logger.warning("w")
        assert capsys.readouterr().err.splitlines() == shown
        assert shows_notes() == ("quiet" not in settings)
    assert sum(isinstance(handler, StderrHandler) for handler in logger.handlers) == 1


def test_quiet_shows_no_bar_of_a_list_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    set_up_logging(quiet=True)
    with progress(2) as (_, solved):
        solved(2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flag", ["--abandon-batch", "--give-up"])
def test_the_old_name_of_abandon_batch_still_works(recorded: Path, flag: str) -> None:
    done = run_command(recorded, "collect", flag, "lost", "--run", "recorded", code=2)
    assert "has no open batch `lost`" in done.stderr
    assert "--give-up" not in run_command(recorded, "collect", "--help").stdout


def test_a_library_user_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    note("for people who run commands")
    assert capsys.readouterr().err == ""


def test_muted_notes_come_back() -> None:
    notes = recorded_notes()
    with muted_notes():
        note("dropped")
        logger.warning("kept")
    note("again")
    assert notes == ["kept", "again"]
    assert logging.getLevelName(NOTE) == "NOTE"


def test_the_first_notes_on_a_file_are_shown_and_all_with_verbose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for verbose in (0, 1):
        set_up_logging(verbose=verbose)
        for number in range(MAX_LINE_NOTES + 4):
            for file in files:
                line_note(file, f"{file}:{number}: corrupt")
        lines = capsys.readouterr().err.splitlines()
        shown = MAX_LINE_NOTES + 4 if verbose else MAX_LINE_NOTES
        assert [sum(f"{file}:" in line and "corrupt" in line for line in lines) for file in files] == [shown, shown]
        assert sum("-v shows them" in line for line in lines) == (0 if verbose else 2)

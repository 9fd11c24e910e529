"""`nsad --help`: the table of commands, which is printed without importing them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nsad_cli.cli.commands import COMMANDS, LoadedCommands
from nsad_cli.cli.main import app
from nsad_cli.cli.render.front_page import front_page

ROWS = {"First": [("one", "word " * 30), ("another", "")], "Second": [("third", "short")]}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_summary_is_the_first_paragraph_of_the_commands_help(name: str) -> None:
    command = LoadedCommands()[name]
    assert " ".join(command.help.partition("\n\n")[0].split()) == COMMANDS[name].summary


def test_the_page_names_every_command_and_option() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f"│ {name} " in shown for name in (*COMMANDS, "--version", "--debug", "--help, -h"))


@pytest.mark.parametrize("columns", [30, 50, 80, 200])
def test_panels_fill_the_width_and_no_word_is_lost(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = front_page("COMMAND", "About it.", ROWS).splitlines()
    assert {len(line) for line in lines if line[:1] in "╭│╰+|" and line} == {max(columns, 50)}
    assert " ".join(lines).count("word") == 30


def test_it_is_plain_text_unless_stdout_is_a_terminal() -> None:
    assert "\x1b" not in CliRunner().invoke(app, ["--help"]).stdout


def test_it_imports_no_command_and_no_rich() -> None:
    check = (
        "import sys; sys.argv = ['nsad', '--help']\n"
        "from nsad_cli.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('rich', 'nsad_cli.cli.solve', 'nsad_cli.cli.collect') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_encoding_without_boxes_gets_ascii() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nsad_cli", "--help"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
    )
    assert b"+- Start here -" in done.stdout

"""The examples below each command's help: every one is a command that the program accepts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.cli.commands import COMMANDS, LoadedCommands
from nsad_cli.cli.examples import EXAMPLES
from tests.helpers.nsad_process import run_nsad

if TYPE_CHECKING:
    from pathlib import Path


def test_every_command_has_two_to_four_examples_of_its_own() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()
    for name, lines in EXAMPLES.items():
        assert 2 <= len(lines) <= 4, name
        assert all(f"nsad {name}" in line for line in lines), name


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines])
def test_its_arguments_are_accepted(name: str, line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])
    arguments = words[words.index("nsad") + 2 :]
    command: Any = LoadedCommands()[name]
    if arguments and arguments[0] in getattr(command, "commands", ()):
        command = command.commands[arguments.pop(0)]
    assert command.make_context(name, arguments)


def test_the_help_shows_them_on_one_line_each(tmp_path: Path) -> None:
    shown = run_nsad(tmp_path, "collect", "--help", COLUMNS="60").stdout.splitlines()
    assert [line.strip() for line in shown[-4:-1]] == list(EXAMPLES["collect"])

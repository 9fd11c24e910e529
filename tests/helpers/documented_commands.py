"""The command lines of the documentation: found in Markdown, and parsed by the real command line without running."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nsad_cli.cli.commands import LoadedCommands
from nsad_cli.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SHELLS = {"bash", "console", "sh"}
INDENTED = re.compile(r"^ {4}(?:\$ )?((?:nsad|make|pip|python|accelerate) .*)$", re.MULTILINE)
INLINE = re.compile(r"`((?:nsad|make) [^`\n]+)`")
ENDS = {"|", "||", ">", ">>", "<", "&&", "&", ";"}
ELISION = {"…", "..."}


@dataclass(frozen=True)
class CommandLine:
    """A command line of a page."""

    page: str
    line: int
    text: str
    inline: bool = False
    """Whether it is in a sentence or table, where it may be a part of a command."""

    @property
    def where(self) -> str:
        """The page and the line's number."""
        return f"{self.page}:{self.line}"


def fenced_blocks(page: Path, languages: set[str]) -> Iterator[tuple[int, str]]:
    """The fenced blocks of a page in some languages: each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        if block[2] in languages:
            yield text[: block.start(3)].count("\n") + 1, block[3]


def command_lines(page: Path) -> Iterator[CommandLine]:
    """The command lines of a page: of fenced blocks, of indented ones, and those in sentences and tables."""
    name, text = page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")
    for first, block in fenced_blocks(page, SHELLS):
        console = any(line.startswith("$ ") for line in block.splitlines())
        for offset, line in joined_lines(block):
            if not console or line.startswith("$ "):
                yield CommandLine(name, first + offset, line.removeprefix("$ ").strip())
    # Blank the fenced blocks, so that line numbers stay.
    prose = FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    for found in INDENTED.finditer(prose):
        yield CommandLine(name, prose[: found.start()].count("\n") + 1, found[1])
    for found in INLINE.finditer(INDENTED.sub("", prose)):
        yield CommandLine(name, 0, found[1].replace("\\|", "|"), inline=True)


def joined_lines(block: str) -> Iterator[tuple[int, str]]:
    """The lines of a shell script: continued ones as one, comments and blank lines left out."""
    number, start, line = 0, 0, ""
    for number, part in enumerate(block.splitlines()):
        start = start if line else number
        line += part.rstrip().removesuffix("\\")
        if not part.rstrip().endswith("\\"):
            if line.strip() and not line.lstrip().startswith("#"):
                yield start, line
            line = ""
    assert not line, f"a block ends in a continued line: {line}"


def words(text: str) -> list[str]:
    """The first command's words as a shell splits them, without comments, variables, redirections and elisions."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if word in ENDS:
            break
        found.append(word)
    while found and re.match(r"[A-Z_]+=", found[0]):
        del found[0]
    return [word for word in found if word not in ELISION]


def arguments(text: str) -> list[str] | None:
    """The arguments of `nsad` in a command line; None if it runs another program."""
    found = words(text)
    if "nsad_cli" in found and found[0] in ("python", "accelerate"):
        return found[found.index("nsad_cli") + 1 :]
    return found[1:] if found[:1] == ["nsad"] else None


def command_of(given: list[str]) -> tuple[Any, list[str]]:
    """The command that arguments name, and the rest of them; fails if there is none."""
    known = LoadedCommands()
    given = given[1:] if given[0] == "help" else given
    assert given[0] in known, f"unknown command `nsad {given[0]}`"
    command, rest = known[given[0]], given[1:]
    group = getattr(command, "commands", {})
    if rest and not rest[0].startswith("-") and group:
        assert rest[0] in group, f"unknown command `nsad {given[0]} {rest[0]}`"
        return group[rest[0]], rest[1:]
    return command, rest


def parse(given: list[str], *, with_callbacks: bool = True) -> dict[str, Any]:
    """Parse arguments as the command line does, and return the values; the command is not invoked."""
    command, rest = command_of(given)
    kept = {parameter: parameter.callback for parameter in command.params}
    if not with_callbacks:
        for parameter in command.params:
            parameter.callback = None
    try:
        with command.make_context(given[0], list(rest)) as context:
            values: dict[str, Any] = context.params
            return values
    finally:
        for parameter, callback in kept.items():
            parameter.callback = callback


def known_at_the_root() -> set[str]:
    """The options of `nsad` itself."""
    root = typer.main.get_command(app)
    with root.make_context("nsad", ["runs"]) as context:
        return {name for parameter in root.get_params(context) for name in parameter.opts}


def unknown_options(given: list[str]) -> list[str]:
    """The options among arguments that the command does not have; for commands that are not written in full."""
    if not given or given[0].startswith("-"):
        return [item for item in given if item not in known_at_the_root()]
    command, rest = command_of(given)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h", "--debug"}
    return [item for item in rest if re.match(r"--?[a-z]", item) and item.partition("=")[0] not in known]

"""README and docs: every command line is parsed by the real command line, and cheap ones are run."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import nsad_cli
from nsad_cli.cli.commands import COMMANDS
from nsad_cli.cli.main import app
from nsad_cli.cli.options import parse_settings
from nsad_cli.config.recipes import find_recipe
from nsad_cli.config.schema import Recipe, Section
from tests.helpers.documented_commands import (
    PAGES,
    ROOT,
    CommandLine,
    arguments,
    command_lines,
    fenced_blocks,
    parse,
    unknown_options,
    words,
)

LINES = [line for page in PAGES for line in command_lines(page)]
BLOCKS = [line for line in LINES if not line.inline and arguments(line.text) is not None]
INLINE = [line for line in LINES if line.inline and line.text.startswith("nsad ")]
PLUGINS = "docs/plugins.md"
"""Its commands name parts of a package that only its own tests install."""
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_|]*$")
OTHER_FILES = re.compile(r"^(https?:|mailto:|#)")


def set_keys(values: dict[str, Any]) -> list[str]:
    """The recipe's keys that a command sets, without those that any stage may have."""
    return [key for key in parse_settings(values.get("settings")) if not key.startswith("training.baseline.")]


def has_key(dotted: str) -> bool:
    """Whether a recipe has a setting."""
    section: Any = Recipe
    for part in dotted.split("."):
        if not (isinstance(section, type) and issubclass(section, Section)) or part not in section.model_fields:
            return False
        section = section.model_fields[part].annotation
    return True


def ident(line: CommandLine) -> str:
    return f"{line.where}-{line.text[:60]}"


@pytest.mark.parametrize("line", BLOCKS, ids=ident)
def test_a_command_line_is_parsed(line: CommandLine) -> None:
    given = arguments(line.text)
    assert given is not None
    if given[0].startswith("-"):
        assert not unknown_options(given)
        return
    values = parse(given, with_callbacks=line.page != PLUGINS)
    assert all(map(has_key, set_keys(values))), set_keys(values)
    recipe = values.get("recipe") if given[0] in ("run", "study") else None
    if recipe is not None and not PLACEHOLDER.match(recipe) and not recipe.endswith(".yaml"):
        assert find_recipe(recipe).is_file()


@pytest.mark.parametrize("line", INLINE, ids=ident)
def test_a_command_in_a_sentence_has_known_options(line: CommandLine) -> None:
    given = arguments(line.text)
    assert given is not None
    given = [item for item in given if not item.endswith("…")]
    if given and not PLACEHOLDER.match(given[0]):
        assert not unknown_options(given)


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([A-Za-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {(line.where, item) for line in LINES for item in words(line.text)[1:2] if line.text.startswith("make ")}
    assert named
    assert not {(where, item) for where, item in named if item not in targets}


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [name for name in COMMANDS if f"`nsad {name}" not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_in_yaml_are_valid(page: Path) -> None:
    for line, block in fenced_blocks(page, {"yaml"}):
        found = yaml.safe_load(block)
        if isinstance(found, dict) and found.keys() <= Recipe.model_fields.keys():
            assert Recipe.model_validate(found), f"{page}:{line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_imports_names_that_the_package_offers(page: Path) -> None:
    for line, block in fenced_blocks(page, {"python"}):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "nsad_cli":
                assert {alias.name for alias in node.names} <= set(nsad_cli.__all__), f"{page}:{line}"


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, which GitHub and MkDocs form alike for plain words."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not OTHER_FILES.match(link):
            name, _, heading = link.partition("#")
            target = page.parent / name
            assert target.exists(), link
            if heading:
                assert heading in anchors(target.read_text(encoding="utf-8")), link

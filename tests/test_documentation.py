"""README and docs: every command line is parsed by the real command line, and cheap ones are run."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner

import nsad_cli
from nsad_cli.cli.commands import COMMANDS
from nsad_cli.cli.main import app
from nsad_cli.cli.options import parse_settings
from nsad_cli.config import reference
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

if TYPE_CHECKING:
    from pathlib import Path

LINES = [line for page in PAGES for line in command_lines(page)]
BLOCKS = [line for line in LINES if not line.inline and arguments(line.text) is not None]
INLINE = [line for line in LINES if line.inline and line.text.startswith("nsad ")]
PLUGINS = "docs/plugins.md"
"""Its commands name parts of a package that only its own tests install."""
DETERMINISTIC = ("vote",)
"""Commands whose output is compared with the one in a `console` block; prices and token counts differ by machine."""
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
    given = [item for item in given if not item.endswith("…") and not PLACEHOLDER.match(item)]
    if given and given != ["help"]:
        assert not unknown_options(given)


def console_runs() -> list[tuple[str, list[str], str]]:
    """The commands of `console` blocks with the output below them: (where, arguments, output)."""
    found = []
    for page in PAGES:
        for line, block in fenced_blocks(page, {"console"}):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                given = arguments(command)
                if given is not None and (given[0] in DETERMINISTIC or "--dry-run" in given):
                    found.append((f"{page.name}:{line}", given, output))
    return found


@pytest.mark.parametrize(("where", "given", "output"), console_runs(), ids=lambda value: str(value)[:40])
def test_a_shown_command_prints_what_is_shown(
    where: str, given: list[str], output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    done = CliRunner().invoke(app, given)
    assert done.exception is None, where
    shown, printed = (
        [" ".join(line.split()) for line in text.splitlines() if line.strip(" …")] for text in (output, done.stdout)
    )
    assert shown
    if given[0] in DETERMINISTIC:
        assert shown == printed
    else:
        labels = [re.sub(r"[\d.,\s]+$", "", line) for line in printed]
        assert {re.sub(r"[\d.,\s]+$", "", line) for line in shown} <= set(labels)


def test_example_chains_are_those_of_the_quick_start() -> None:
    lines = (ROOT / "docs" / "examples" / "chains.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 50
    assert {len(json.loads(line)["chains"]) for line in lines} == {4}


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


def test_the_recipe_reference_is_current() -> None:
    path = ROOT / "docs" / "recipe-reference.md"
    text = path.read_text(encoding="utf-8")
    assert text == reference.markdown(), f"python -m nsad_cli.config.reference > {path.relative_to(ROOT)}"


def test_every_setting_has_a_description() -> None:
    found = [item for path, section, _ in reference.sections() for item in reference.settings(path, section)]
    assert len(found) > 100
    assert not [item.key for item in found if not item.description]
    assert not [item.key for item in found if "Unit:" in item.description or "Source:" in item.description]


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([\w-]+\.md)$", text, re.MULTILINE)) | {"scaling.md"}
    assert {page.name for page in PAGES if page.parent.name == "docs"} <= listed


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "pictures").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_whole_and_requests_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert not re.search(r"(?:href|src|url)\s*[=(]\s*[\"']?https?:", text)
    assert not re.search(r"/(?:tmp|home|root|work)/", text)


def test_the_readme_is_short_and_names_the_two_targets() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    assert "make demo" in text
    assert "make test" in text

"""The repository's own files: what other programs read in it is well-formed and agrees with the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nsad_cli.utils.version import __version__

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
HOOKS = ROOT / ".pre-commit-config.yaml"
CITATION = ROOT / "CITATION.cff"
MAKE_TARGET = re.compile(r"^([A-Za-z][\w-]*):(?!=)", re.MULTILINE)


def loaded(path: Path) -> dict[str, Any]:
    """A YAML file's mapping."""
    value: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def make_targets() -> set[str]:
    """The named targets of the Makefile."""
    return set(MAKE_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [WORKFLOW, HOOKS, CITATION], ids=lambda path: path.name)
def test_a_file_of_the_repository_is_yaml(path: Path) -> None:
    assert loaded(path)


def test_the_citation_names_this_version() -> None:
    assert str(loaded(CITATION)["version"]) == __version__


def test_the_workflow_calls_targets_of_the_makefile() -> None:
    steps = [step for job in loaded(WORKFLOW)["jobs"].values() for step in job["steps"]]
    called = {name for step in steps for name in re.findall(r"\bmake ([\w-]+)", step.get("run", ""))}
    assert {"lint", "test"} <= called
    assert called <= make_targets()


def test_the_workflow_tests_the_oldest_python_that_is_supported() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (oldest,) = re.findall(r'^requires-python = ">=([\d.]+)"$', project, re.MULTILINE)
    assert oldest in loaded(WORKFLOW)["jobs"]["test"]["strategy"]["matrix"]["python-version"]


def test_the_hooks_run_what_make_lint_runs() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe
    linted = {line.strip().replace("$(BIN)", ".venv/bin").removesuffix(" .") for line in recipe[1].splitlines()}
    (repository,) = loaded(HOOKS)["repos"]
    assert {hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]} == linted

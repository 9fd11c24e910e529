"""Recipes that would exhaust memory or time are refused at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nsad_cli.config.recipes import load_recipe
from nsad_cli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def alias_bomb() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (alias_bomb(), "too large"),
        ("a: &a {b: *a}", "refers to itself"),
        ("a: &a [*a]", "refers to itself"),
        ("seed: " + "9" * 5000, "cannot be read"),
        ("[" * 5000, "cannot be read"),
    ],
)
def test_hostile_yaml_is_refused_within_a_second(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    started = time.process_time()
    with pytest.raises(UsageError, match=words):
        load_recipe(path)
    assert time.process_time() - started < 5


def test_latex_in_a_recipe_is_escaped_with_a_second_dollar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_TEST_NAME", "from-the-environment")
    path = tmp_path / "recipe.yaml"
    path.write_text("name: ${NSAD_TEST_NAME}\nteacher: {prompt: 'Solve $${x}$: {question}'}\n")
    recipe = load_recipe(path)
    assert recipe.name == "from-the-environment"
    assert recipe.teacher.prompt == "Solve ${x}$: {question}"
    path.write_text("teacher: {prompt: 'Solve ${x}: {question}'}\n")
    with pytest.raises(UsageError):
        load_recipe(path)

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.config.recipe_diff import UNSET, differing, settings
from nsad_cli.config.recipes import load_recipe, recipe_yaml
from nsad_cli.config.schema import Recipe
from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from pathlib import Path

flat = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=5)


def test_settings_have_dotted_names_and_values_as_json(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("seed: 0\nadapter:\n  r: 8\n  unit: {targets: [q, v]}\nbaseline: {}\nprompt: 'a\n\n  b'\n3: null\n")
    assert settings(path) == {
        "seed": "0",
        "adapter.r": "8",
        "adapter.unit.targets": '["q", "v"]',
        "baseline": "{}",
        "prompt": '"a\\nb"',
        "3": "null",
    }


def test_a_real_recipe_against_one_changed_setting(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path, overrides in zip(paths, ({}, {"training.nce.lam": 0.25}), strict=True):
        path.write_text(recipe_yaml(load_recipe(None, overrides)))
    assert Recipe().training.nce.lam == 0.5
    assert differing(*map(settings, paths)) == [("training.nce.lam", "0.5", "0.25")]


@given(flat, flat)
def test_what_differs_is_the_same_from_both_sides_and_nothing_else(one: dict[str, str], other: dict[str, str]) -> None:
    found = differing(one, other)
    assert {(name, b, a) for name, a, b in differing(other, one)} == set(found)
    named = {name for name, _, _ in found}
    assert all((one.get(name) != other.get(name)) == (name in named) for name in {*one, *other})
    assert not differing(one, one)


def test_what_only_one_has_is_unset_in_the_other() -> None:
    assert differing({"a": "1"}, {"b": "2"}) == [("a", "1", UNSET), ("b", UNSET, "2")]


@pytest.mark.parametrize("text", ["a: [", "3", "", "a: &a [*a]", "a: &a {b: *a}", "\x00", "a: !!python/object:os.x {}"])
def test_what_is_no_recipe_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(NsadError) as told:
        settings(path)
    assert "cannot be read" in told.value.what


def test_control_characters_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text('"a\\e[2J": "\\u202e"\n')
    assert list(settings(path)) == ["a\\x1b[2J"]
    assert "\u202e" not in settings(path)["a\\x1b[2J"]

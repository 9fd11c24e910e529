"""Recipes: every shipped one parses; layers, variables and mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.config.recipes import find_recipe, load_recipe, recipe_yaml, shipped_recipes, user_config_path
from nsad_cli.config.schema import Recipe
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["demo", "gsm8k-solutions-smollm2", "tdg-math-smollm2", "paper-llama7b-gpt35"])
def test_shipped_recipes_parse(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NSAD_DATA", "/data")
    recipe = load_recipe(find_recipe(name))
    assert recipe.evaluation.benchmarks
    assert name in shipped_recipes()
    path = tmp_path / "resolved.yaml"
    path.write_text(recipe_yaml(recipe))
    assert load_recipe(path) == recipe


def test_the_paper_recipe_is_the_references_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_DATA", "/data")
    paper, default = load_recipe(find_recipe("paper-llama7b-gpt35")), Recipe()
    assert paper.adapter == default.adapter
    for stage in ("negative", "nat", "nce"):
        ours, theirs = getattr(paper.training, stage), getattr(default.training, stage)
        for field in ("epochs", "batch_size", "learning_rate", "warmup_steps", "max_chars"):
            assert getattr(ours, field) == getattr(theirs, field), (stage, field)


def test_layers(tmp_path: Path) -> None:
    user_config_path().parent.mkdir(parents=True)
    user_config_path().write_text("student: {device: cpu}\nseed: 5\n")
    path = tmp_path / "r.yaml"
    path.write_text("seed: 6\ntraining: {nat: {epochs: 2}}\n")
    recipe = load_recipe(path, {"training.nat.learning_rate": 0.1, "seed": None})
    assert (recipe.student.device, recipe.seed) == ("cpu", 6)
    assert (recipe.training.nat.epochs, recipe.training.nat.learning_rate) == (2, 0.1)
    assert recipe.training.nat.batch_size == 128


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("training: {nat: {epoch: 3}}", "unknown key `training.nat.epoch`"),
        ("trainning: {}", "unknown key `trainning`"),
        ("training: [1, 2", "not valid YAML"),
        ("- a\n- b\n", "not a mapping"),
        ("seed: many", "`seed` is not valid"),
        ("solve: {rule: majority}", "`solve.rule` is not valid"),
        ("student: {template: no place}", "`student` is not valid"),
        ("teacher: {spec: '${NSAD_NO_SUCH_VARIABLE}'}", "needs the variable NSAD_NO_SUCH_VARIABLE"),
        ("\x00", "not valid YAML"),
    ],
)
def test_mistakes_are_usage_errors(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load_recipe(path)
    assert what in error.value.what
    assert error.value.exit_code == 2
    assert error.value.fix


def test_the_nearest_key_is_offered() -> None:
    with pytest.raises(UsageError) as error:
        validate_recipe({"training": {"nat": {"learning_rat": 1}}}, "r")
    assert "`learning_rate`" in error.value.fix
    with pytest.raises(UsageError) as missing:
        find_recipe("gsm8k-solution-smollm2")
    assert "gsm8k-solutions-smollm2" in missing.value.fix


@pytest.mark.parametrize(
    "setting",
    [
        {"base_url": ["https://user:sk-secret@host/v1"]},
        {"base_url": ["https://host/v1?key=sk-secret"]},
        {"api_key_env": "sk-secret"},
    ],
)
def test_a_key_has_no_place_in_a_recipe_and_is_not_shown(setting: dict[str, object]) -> None:
    with pytest.raises(UsageError) as error:
        validate_recipe({"teacher": setting}, "test")
    told = f"{error.value.what} {error.value.why} {error.value.fix}"
    assert "variable" in told
    assert "sk-secret" not in told

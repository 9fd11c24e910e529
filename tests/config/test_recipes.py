"""Recipes: every shipped one parses; layers, variables and mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.recipes import find_recipe, load_recipe, recipe_yaml, shipped_recipes, user_config_path
from nsad_cli.config.schema import Recipe
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


PAPER = ("paper-llama7b-gpt35", "paper-llama7b-gpt4")
WORLDS = ("demo", "plan-traps", "student-slips")


@pytest.mark.parametrize("name", [*WORLDS, "gsm8k-solutions-smollm2", "tdg-math-smollm2", *PAPER])
def test_shipped_recipes_parse(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NSAD_DATA", "/data")
    recipe = load_recipe(find_recipe(name))
    assert recipe.evaluation.benchmarks
    assert name in shipped_recipes()
    path = tmp_path / "resolved.yaml"
    path.write_text(recipe_yaml(recipe))
    assert load_recipe(path) == recipe


REFERENCE: dict[str, Any] = {
    "student.template": "Problem:\n{question}\nSolution:\n",
    "adapter.targets": ["q_proj", "v_proj"],
    "adapter.r": 8,
    "adapter.alpha": 16,
    "adapter.dropout": 0.05,
    "adapter.unit.size": 128,
    "adapter.unit.value": "mlp",
    "adapter.unit.targets": None,
    "training.keep": "last",
    "training.held_out": 0,
    "training.keep_overlap": True,
    "training.baseline_human_solutions": True,
    "training.baseline": {},
    **{
        f"training.{stage}.{key}": value
        for stage, batch_size, warmup_steps, max_chars in (
            ("negative", 128, 200, 1600),
            ("nat", 128, 200, 1600),
            ("nce", 8, 1000, 1200),
        )
        for key, value in {
            "epochs": 20,
            "tokens": None,
            "batch_size": batch_size,
            "learning_rate": 3e-4,
            "warmup_steps": warmup_steps,
            "max_chars": max_chars,
            "max_examples": None,
        }.items()
    },
    "training.nce.lam": 0.5,
    "training.nce.beta": "sequence",
    "training.ranker.kind": "encoder",
    "training.ranker.epochs": 5,
    "training.ranker.batch_size": 1,
    "training.ranker.learning_rate": 2e-5,
    "training.ranker.warmup_steps": 0,
    "training.ranker.samples": 16,
    "training.ranker.chains_of": "nat",
    "training.ranker.human_solutions": True,
    "training.ranker.pairs": "fresh",
    "training.ranker.head": "residual",
    "training.ranker.calibrate": False,
    "training.ranker.split": 0,
    "solve.weights": "raw",
    "training.ranker.objective": "power",
    "sampling.max_new_tokens": 1024,
    "solve.samples": 16,
    "evaluation.samples": 16,
}
"""The numbers of the authors' scripts and files, not our defaults."""


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_have_the_references_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_DATA", "/data")
    recipe = load_recipe(find_recipe(name))
    for key, expected in REFERENCE.items():
        value: Any = recipe
        for part in key.split("."):
            value = getattr(value, part)
        assert value == expected, key
    assert ("GPT4-MATH" if name.endswith("gpt4") else "GPT3.5-turbo-MATH") in recipe.teacher.spec
    header = find_recipe(name).read_text(encoding="utf-8").partition("student:")[0]
    assert all(word in header for word in ("UL", "int8", "dropout", "docs/method.md"))


def test_a_stage_without_held_out_problems_must_keep_its_last_weights(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("training: {held_out: 0}\n")
    with pytest.raises(UsageError) as error:
        load_recipe(path)
    assert "held_out" in error.value.what
    assert "best checkpoint" in error.value.why
    assert "training.keep to last" in error.value.fix
    with pytest.raises(UsageError, match="held_out"):
        load_recipe(path, stored=True)
    path.write_text("training: {keep: last}\n")
    assert load_recipe(path, {"training.held_out": 0}).training.held_out == 0, "each layer alone need not be consistent"
    with pytest.raises(UsageError, match="held_out"):
        load_recipe(path, {"training.held_out": 0, "training.keep": "best"})


def test_recipes_of_earlier_runs_keep_their_warm_up(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    assert "warmup_steps: null" in recipe_yaml(Recipe())
    path.write_text("training: {nce: {warmup_steps: 1000}, ranker: {warmup_steps: 0}}\n")
    training = load_recipe(path, stored=True).training
    assert (training.nce.warmup_steps, training.ranker.warmup_steps, training.nat.warmup_steps) == (1000, 0, None)


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


def test_a_study_is_not_taken_for_a_recipe() -> None:
    with pytest.raises(UsageError, match="is a study") as error:
        load_recipe(find_recipe("negatives-few-right"))
    assert error.value.fix.startswith("nsad study ")

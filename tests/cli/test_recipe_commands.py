"""`nsad init`, `nsad recipe` and `nsad config`: recipes are written, shown, checked and compared without being run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from nsad_cli.config.json_schema import recipe_schema
from nsad_cli.config.recipes import load_recipe, shipped_recipes
from nsad_cli.config.schema import Recipe
from nsad_cli.config.template import OFTEN_SET, commented_recipe
from nsad_cli.runs.run import Run
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

RECIPES = {name: path for name, path in shipped_recipes().items() if "\narms:" not in path.read_text()}


def described(part: Any) -> list[str]:
    """The names of properties without a description, in a part of the schema."""
    found = [name for name, value in part.get("properties", {}).items() if not value.get("description")]
    return [name for name in found if "$ref" not in part["properties"][name]]


@pytest.mark.parametrize("name", RECIPES)
def test_the_schema_accepts_shipped_recipes(name: str) -> None:
    jsonschema.Draft202012Validator(recipe_schema()).validate(yaml.safe_load(RECIPES[name].read_text()))


def test_the_schema_refuses_what_is_no_recipe_and_describes_every_setting() -> None:
    schema = recipe_schema()
    check = jsonschema.Draft202012Validator(schema)
    wrong: list[Any] = [
        {"studnet": {}},
        {"seed": "x"},
        {"training": {"nat": {"epochs": 0}}},
        {"solve": {"rule": "most"}},
    ]
    for values in wrong:
        assert not check.is_valid(values), values
    assert {name: described(part) for name, part in {"": schema, **schema["$defs"]}.items() if described(part)} == {}


def test_a_new_recipe_has_the_defaults_also_where_every_comment_is_removed(tmp_path: Path) -> None:
    chosen = {"student.model": "smollm2", "teacher.spec": "arithmetic", "problems.train": "svamp[:9]@x: y # z"}
    text = commented_recipe("new.yaml", chosen)
    path = tmp_path / "new.yaml"
    path.write_text(text)
    first = load_recipe(path)
    assert first == Recipe.model_validate(
        {
            "student": {"model": "smollm2"},
            "teacher": {"spec": "arithmetic"},
            "problems": {"train": "svamp[:9]@x: y # z"},
        }
    )
    # a commented-out setting or section begins with `# ` in the first column; a description is indented or prose
    lines = text.splitlines()
    keys = {key.rpartition(".")[2] for key in OFTEN_SET} | {part for key in OFTEN_SET for part in key.split(".")[:-1]}
    opened = [
        line[2:] if line.startswith("# ") and line[2:].strip().partition(":")[0] in keys else line for line in lines
    ]
    path.write_text("\n".join(opened[5:]))
    assert load_recipe(path) == first


def test_init_writes_what_it_is_given(tmp_path: Path) -> None:
    flags = ("--teacher", "gpt-4", "--problems", "gsm8k:train[:100]", "--student", "some/folder")
    done = run_nsad(tmp_path, "init", "mine.yaml", *flags, "--json")
    assert json.loads(done.stdout)["settings"]["problems.train"] == "gsm8k:train[:100]"
    shown = json.loads(run_nsad(tmp_path, "recipe", "show", "mine.yaml", "--json").stdout)
    assert (shown["teacher"]["spec"], shown["student"]["model"]) == ("gpt-4", "some/folder")
    assert failure(run_nsad(tmp_path, "init", "mine.yaml"), 2)[0] == "error: mine.yaml exists already"
    assert "unknown benchmark" in failure(run_nsad(tmp_path, "init", "x.yaml", "--problems", "gsm9k"), 2)[0]
    assert not (tmp_path / "x.yaml").exists()


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    with Terminal(tmp_path, "init") as terminal:
        for question, answer in (("Teacher", "arithmetic:plan-traps"), ("Training problems", ""), ("Student", "")):
            terminal.wait_for_line(question)
            if question != "Student":
                terminal.type_line(answer)
        code, _ = terminal.end("\n")
    assert code == 0
    assert load_recipe(tmp_path / "recipe.yaml").teacher.spec == "arithmetic:plan-traps"


def test_check_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("training: {nat: {epocs: 3}}\n")
    assert "epochs" in failure(run_nsad(tmp_path, "recipe", "check", "bad.yaml"), 2)[2]
    assert json.loads(run_nsad(tmp_path, "recipe", "check", "demo", "--json").stdout)["valid"]


def test_diff_compares_recipes_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_HOME", str(tmp_path / "runs"))
    Run.create("mine", load_recipe(shipped_recipes()["demo"], {"seed": 7}))
    rows = json.loads(run_nsad(tmp_path, "recipe", "diff", "demo", "plan-traps", "--json").stdout)["differing"]
    assert {"setting": "evaluation.limit", "a": "100", "b": "200"} in rows
    rows = json.loads(run_nsad(tmp_path, "recipe", "diff", "demo", "mine", "--json").stdout)["differing"]
    assert {"setting": "seed", "a": "0", "b": "7"} in rows
    assert "seed" in run_nsad(tmp_path, "recipe", "diff", "demo", "mine").stdout
    assert run_nsad(tmp_path, "recipe", "diff", "demo", "demo").stdout == ""


def test_config_shows_where_values_come_from(tmp_path: Path) -> None:
    (tmp_path / "config" / "nsad").mkdir(parents=True)
    (tmp_path / "config" / "nsad" / "config.yaml").write_text("student: {device: cpu}\nsolve: {samples: 3}\n")
    (tmp_path / "r.yaml").write_text("solve: {samples: 5}\n")
    shown = json.loads(run_nsad(tmp_path, "config", "show", "r.yaml", "--json", NSAD_STUDENT="x").stdout)
    own = str(tmp_path / "config" / "nsad" / "config.yaml")
    assert shown["config_file"] == own
    assert shown["settings"] == {
        "student.model": {"value": "x", "source": "NSAD_STUDENT"},
        "student.device": {"value": "cpu", "source": own},
        "solve.samples": {"value": 5, "source": "r.yaml"},
    }
    assert len(json.loads(run_nsad(tmp_path, "config", "show", "--all", "--json").stdout)["settings"]) > 80

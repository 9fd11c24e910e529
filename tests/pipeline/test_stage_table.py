"""The table of stages: what a new baseline needs is one entry in it and one file with its objective."""

from __future__ import annotations

import ast
import importlib
import os
import time
from pathlib import Path

import pytest

import nsad_cli
from nsad_cli.config.stages import (
    RUN_ORDER,
    TRAINING,
    Kind,
    LearnsFrom,
    baselines,
    models,
    stages,
    stages_for,
    with_prerequisites,
)
from nsad_cli.dashboard.live.run_list import RunList
from nsad_cli.dashboard.screens.run_detail import stage_summary
from tests.helpers.recorded_run import nsad, unpack

ENTRY = """
from nsad_cli.config.stages import Kind, LearnsFrom, Stage

TOY = Stage("toy", Kind.BASELINE, learns_from=LearnsFrom.RIGHT, objective="toy_baseline.objective:build")
"""
OBJECTIVE = """
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.trainer import BatchLoss


class Toy(CompletionObjective):
    def loss(self, batch):
        return BatchLoss(2 * super().loss(batch).total, {})


def build(session, stage, settings):
    return Toy(session.adapters, stage.name, share=settings.share_prompts)
"""
CONSTANTS = {"negative", "nat", "nce", "ranker"}
MAX_CONSTANTS = 25


def install_toy(folder: Path, entry: str = ENTRY) -> str:
    """Install a package with a baseline into a folder; return the PYTHONPATH that finds it."""
    package, info = folder / "toy_baseline", folder / "toy_baseline-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text(entry)
    (package / "objective.py").write_text(OBJECTIVE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-baseline\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nsad.objectives]\ntoy = toy_baseline:TOY\n")
    return os.pathsep.join([str(folder), str(Path(nsad_cli.__file__).parent.parent)])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def toy(home: Path) -> dict[str, str]:
    return {"PYTHONPATH": install_toy(home / "site")}


def test_a_new_baseline_is_treated_like_the_others(home: Path, toy: dict[str, str]) -> None:
    trained, _ = nsad(home, "train-baseline", "toy", "--run", "recorded", variables=toy)
    other, _ = nsad(home, "train-baseline", "cot-kd", "--run", "recorded", variables=toy)
    mine, others = trained["stages"]["toy"], other["stages"]["cot-kd"]
    assert mine["examples"] == others["examples"]
    assert mine["trained_parameters"] == others["trained_parameters"]
    assert mine["weights"] != others["weights"]
    assert (home / "runs/recorded/adapters/toy/adapter_model.safetensors").is_file()

    evaluated, _ = nsad(home, "eval", "--model", "toy", "--run", "recorded", variables=toy)
    assert {row["model"] for row in evaluated["results"]} == {"toy"}

    (row,) = RunList(home / "runs").refresh(time.time())
    (shown,) = [stage for stage in row.stages if stage.name == "toy"]
    assert shown.state == "finished"
    assert stage_summary(shown)[0].startswith("held-out loss")
    runs, _ = nsad(home, "runs", variables=toy)
    assert [(run["run"], run["stage"]) for run in runs["runs"]] == [("recorded", "toy")]

    planned, _ = nsad(
        home, "run", "recipe.yaml", "--plan", "--set", "evaluation.models=[base, nce, toy]", variables=toy
    )
    chains = {stage["stage"]: stage["samples"] for stage in planned["stages"]}
    assert chains["eval"] == 2 * 4 * (1 + 4)

    again, notes = nsad(home, "train-baseline", "toy", "--run", "recorded", variables=toy)
    assert "toy: already done with these settings" in notes
    assert again["stages"]["toy"]["weights"] == mine["weights"]


def test_a_plugin_that_fails_is_named_in_one_line_and_the_rest_works(home: Path, tmp_path: Path) -> None:
    path = install_toy(tmp_path / "site", "raise RuntimeError('a fault of the plugin')")
    runs, notes = nsad(home, "train-baseline", "cot-kd", "--run", "recorded", variables={"PYTHONPATH": path})
    assert runs["stages"]["cot-kd"]
    (line,) = [line for line in notes.splitlines() if "a fault of the plugin" in line]
    assert "toy" in line
    assert "toy-baseline" in line


@pytest.mark.model
def test_every_objective_can_be_imported() -> None:
    for stage in stages().values():
        if stage.trains:
            module, _, name = stage.objective.partition(":")
            assert callable(getattr(importlib.import_module(module), name)), stage.name


def test_requirements_come_before_what_requires_them() -> None:
    for name in RUN_ORDER:
        assert all(RUN_ORDER.index(other) < RUN_ORDER.index(name) for other in stages()[name].requires)
    for name in baselines():
        assert all(other in stages() for other in stages()[name].requires)
    assert with_prerequisites(["redi"], "teacher") == ("cot-kd", "redi")
    assert with_prerequisites(["nat-control", "right-first"], "teacher") == ("positive", "nat-control", "right-first")
    assert with_prerequisites(["self-distillation"], "teacher") == ("self-distillation",)
    assert with_prerequisites(["gkd"], "teacher") == ("cot-kd", "gkd")


@pytest.mark.parametrize("source", ["teacher", "own", "random", "none"])
def test_each_source_of_negatives_has_its_own_negative_stage(source: str) -> None:
    stage = stages_for(source)["negative"]
    learns_from = {"teacher": LearnsFrom.WRONG, "own": LearnsFrom.OWN_WRONG}.get(source, LearnsFrom.NOTHING)
    assert stage.learns_from is learns_from
    before = ("positive",) if source == "own" else ()
    assert with_prerequisites(["negative", "nat"], source) == (*before, "negative", "nat")
    assert stages()["negative"].learns_from is LearnsFrom.WRONG, "the table itself is not changed"


def test_the_table_names_the_papers_stages_and_baselines() -> None:
    assert [stage.name for stage in TRAINING] == ["negative", "nat", "nce", "ranker"]
    assert {"ft", "cot-kd", "mix", "nt", "ul", "cl"} <= set(baselines())
    assert models()[:2] == ("base", "few-shot")
    assert not {"ranker", "positive"} & set(models())
    assert all(stages()[name].kind is Kind.BASELINE for name in baselines())


def test_stage_names_are_constants_of_the_table_alone() -> None:
    package = Path(nsad_cli.__file__).parent
    found = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in package.rglob("*.py")
        if path != package / "config" / "stages.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in CONSTANTS
    ]
    assert len(found) <= MAX_CONSTANTS, found

"""Runs in the built-in worlds: from samples and verdicts to an evaluation, and several worlds in one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.collection.collect import collect, params_key
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.pipeline.collect_stage import graded_rationales
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.problems import load_problems
from nsad_cli.problems.plan_trap_stories import KINDS
from nsad_cli.problems.worlds import WORLDS
from nsad_cli.runs.run import Run
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Verdict
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

TRAPS = "arithmetic:plan-traps"


def test_a_run_in_the_world_of_traps(tiny_llama: Path) -> None:
    run = Run.create(
        "traps",
        recipe(
            tiny_llama,
            problems={"train": TRAPS, "limit": 40},
            teacher={"spec": TRAPS, "draws": 4},
            evaluation={
                "benchmarks": [f"{TRAPS}:test", f"{TRAPS}:confirm"],
                "limit": 12,
                "samples": 0,
                "models": ["base"],
            },
        ),
    )
    results = run_stages(run, ["collect", "grade", "eval-before"])
    assert (results["collect"]["teacher"], results["collect"]["problems"]) == (TRAPS, 40)
    ledger = results["grade"]["ledger"]
    assert ledger["right_with_wrong_step"] == 0
    right, wrong = graded_rationales(run)
    assert len(right) + len(wrong) == results["collect"]["draws"], "every verdict is correct or wrong"
    assert {item.verdict for item in right + wrong} == {Verdict.CORRECT, Verdict.WRONG}
    assert {(item.problem.benchmark, item.problem.split) for item in right + wrong} == {(TRAPS, "train")}
    evaluated = results["eval-before"]
    assert [(row["benchmark"], row["n"]) for row in evaluated["results"]] == [
        (f"{TRAPS}:test", 12),
        (f"{TRAPS}:confirm", 12),
    ]
    traps = {row["group"] for row in evaluated["groups"] if row["by"] == "subject"}
    assert traps <= set(KINDS)
    assert len(traps) > 3


def test_worlds_share_a_store_without_touching_each_other(tmp_path: Path) -> None:
    alone: dict[str, list[str]] = {}
    with Store(tmp_path / "all.sqlite") as store:
        for world in (*WORLDS, *WORLDS):
            problems = load_problems(world, limit=10)
            teacher = make_teacher(world, TeacherConfig())
            with Store(tmp_path / f"{teacher.params.get('world')}.sqlite") as own:
                collect(problems, teacher, 3, own)
                alone[world] = [draw.text for draw in own.draws(world, params_key(teacher))]
            summary = collect(problems, teacher, 3, store)
            assert not summary.failures
        for world in WORLDS:
            key = params_key(make_teacher(world, TeacherConfig()))
            assert [draw.text for draw in store.draws(world, key)] == alone[world]
        assert {(problem.benchmark, problem.split) for problem in store.problems()} == {
            ("arithmetic", "train"),
            (TRAPS, "train"),
        }
        assert len(store.problems()) == 20
    assert len({tuple(texts) for texts in alone.values()}) == 3

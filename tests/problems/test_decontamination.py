"""What training leaves out because the run's own evaluation asks it, and what evaluation then measures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import load_benchmarks
from nsad_cli.pipeline.pipeline import Pipeline, run_stages
from nsad_cli.pipeline.plan import make_plan
from nsad_cli.problems import arithmetic
from nsad_cli.problems.decontamination import find_leaks
from nsad_cli.runs.run import Run
from nsad_cli.types import Problem, problem_id
from tests.helpers.notes import recorded_notes
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.config.schema import Recipe

COPIED, RENUMBERED = 3, 2


def settings(benchmarks: list[str], **changes: Any) -> Recipe:
    return validate_recipe({"evaluation": {"benchmarks": benchmarks}, **changes}, "test")


def questions(count: int, start: int = 0) -> list[str]:
    """Short questions, no two alike but for numbers."""
    names = "abcdefghijklmnopqrstuvwxyz"
    return [f"What does {names[i // 26]}{names[i % 26]} make of {i + 7}?" for i in range(start, start + count)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def leaking(tiny_llama: Path, tmp_path: Path) -> Recipe:
    """A run that trains on 20 problems of its own, of which 3 are evaluation problems and 2 are with other numbers."""
    test = questions(8)
    train = questions(15, start=30) + test[:COPIED]
    train += [question.replace("make of", "make of 1") for question in test[COPIED : COPIED + RENUMBERED]]
    answers = ["The answer is 1.", "The answer is 1, so.", "The answer is 2."]
    rows = [{"question": question, "answer": "1", "generated_answer": answers} for question in train]
    mine = write(tmp_path / "train.jsonl", rows)
    asked = write(tmp_path / "test.jsonl", [{"question": question, "answer": "1"} for question in test])
    return recipe(
        tiny_llama,
        problems={},
        teacher={"spec": f"jsonl:{mine}", "draws": 3},
        evaluation={"benchmarks": [f"jsonl@{asked}"], "samples": 0, "models": ["base", "nat"]},
    )


def with_overlap(settings: Recipe) -> Recipe:
    return settings.model_copy(update={"training": settings.training.model_copy(update={"keep_overlap": True})})


@pytest.mark.slow
def test_training_leaves_them_out_and_says_so_unless_told_otherwise(leaking: Recipe) -> None:
    run = Run.create("leaking", leaking)
    notes = recorded_notes()
    results = run_stages(run, ["collect", "grade", "eval-before", "negative", "nat"])
    (told,) = [note for note in notes if "overlap" in note]
    assert "5 of 20" in told
    assert "5 with jsonl" in told
    assert "3 by same" in told
    assert "keep_overlap" in told
    kept = 20 - COPIED - RENUMBERED
    assert len(results["nat"]["problem_ids"]) == len(results["negative"]["problem_ids"]) == kept
    assert results["nat"]["examples"] + results["nat"]["held_out"] == 2 * kept
    assert {row["n"] for row in results["eval-before"]["results"]} == {8}, "what is left out is measured"

    run.write_recipe(with_overlap(leaking))
    notes.clear()
    results = run_stages(Run(run.path), ["collect", "grade", "eval-before", "negative", "nat"])
    assert sum("already done" in note for note in notes) == 2, "collected and graded alone"
    assert len(results["nat"]["problem_ids"]) == 20
    assert any("dropped 3 problems used in training" in note for note in notes)
    assert {row["n"] for row in results["eval-before"]["results"]} == {8 - COPIED}

    run.write_recipe(leaking)
    benchmarks = load_benchmarks(run, leaking.evaluation.benchmarks, None)
    assert len(benchmarks[0][1]) == 8 - COPIED, "the weights have seen them, whatever the recipe says now"


def test_a_plan_counts_without_them(leaking: Recipe) -> None:
    plans = [make_plan(name, one) for name, one in (("a", leaking), ("b", with_overlap(leaking)))]
    samples = [{stage.stage: stage.samples for stage in plan.stages} for plan in plans]
    assert samples[0]["nat"] < samples[1]["nat"]
    assert any("5 of 20" in note for note in plans[0].notes)
    assert samples[0]["eval-before"] == 8
    assert samples[1]["eval-before"] == 8 - COPIED


def test_where_nothing_is_left_it_is_told(leaking: Recipe, tmp_path: Path) -> None:
    train = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    other = write(tmp_path / "other.jsonl", train)
    evaluation = leaking.evaluation.model_copy(update={"benchmarks": [f"jsonl@{other}"]})
    run = Run.create("none", leaking.model_copy(update={"evaluation": evaluation}))
    with pytest.raises(NsadError, match="no training problem is left") as error:
        run_stages(run, ["collect", "grade", "negative"])
    assert "20 of 20" in error.value.why
    assert "keep_overlap=true" in error.value.fix


def test_a_benchmark_that_cannot_be_read(leaking: Recipe, tmp_path: Path) -> None:
    run = Run.create("gone", leaking)
    run_stages(run, ["collect", "grade"])
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(NsadError, match="cannot be checked against") as error:
        Pipeline(run).corpus()
    assert "keep_overlap=true" in error.value.fix
    other = write(tmp_path / "b.jsonl", [{"question": question, "answer": "1"} for question in questions(8)])
    ((_, problems),) = load_benchmarks(run, [f"jsonl@{other}"], None)
    assert len(problems) == 8 - COPIED, "then all that was collected counts as seen"


def test_the_built_in_problems_are_not_checked() -> None:
    training = list(arithmetic.problems("train", 50))
    assert find_leaks(settings(["arithmetic:test"]), training).ids == frozenset()


def test_a_part_of_the_set_that_is_evaluated_is_no_leak(data: Path) -> None:
    """Evaluation drops it, as it always has; its neighbours in the rest of the set are leaks."""
    from nsad_cli.problems import load_problems

    spec = f"gsm8k:test@{data}/gsm8k"
    part = load_problems(spec, limit=300)
    leaks = find_leaks(settings([spec]), part)
    assert leaks.ids == frozenset()
    assert leaks.own == {problem.id for problem in part}
    elsewhere = [Problem(item.id, item.question, item.answer, "jsonl", "train") for item in part]
    assert find_leaks(settings([spec]), elsewhere).ids == leaks.own
    assert find_leaks(settings([f"gsm8k:train@{data}/gsm8k"]), part).own == frozenset()


def test_one_file_that_is_trained_on_and_evaluated(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", [{"question": question, "answer": "1"} for question in questions(6)])
    training = [Problem(problem_id(question), question, "1", "jsonl", "train") for question in questions(3)]
    evaluation = [f"jsonl@{path}"]
    for source in ({"problems": {"train": f"jsonl@{path}"}}, {"teacher": {"spec": f"jsonl:{path}"}}):
        assert find_leaks(settings(evaluation, **source), training).ids == frozenset()
    assert len(find_leaks(settings(evaluation, teacher={"spec": "gpt-4"}), training).ids) == 3


def test_wrong_use_stays_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be checked"):
        find_leaks(settings([f"gsm8k:dev@{tmp_path}"]), [Problem("a", "b", "c", "jsonl")])

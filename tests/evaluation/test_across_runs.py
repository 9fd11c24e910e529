"""One table across runs: what is grouped as seeds of one arm, and the numbers, against answers made by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.engine_spec import EngineSpec
from nsad_cli.errors import UsageError
from nsad_cli.evaluation.across_runs import make_arms
from nsad_cli.evaluation.comparison import Selection, compare_stored
from nsad_cli.evaluation.stored_chains import Side
from nsad_cli.grading.checker import Checker
from nsad_cli.runs.run import runs_home
from nsad_cli.runs.trained_size import trained_size
from nsad_cli.utils.statistics import wilson
from tests.helpers.compared_runs import answer, make_benchmark, make_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nsad_cli.runs.run import Run

NEGATIVE = {"tokens": 100, "steps": 4, "trained_parameters": 8}
NAT = {"tokens": 200, "steps": 5, "trained_parameters": 30}
TRAINED = {"negative": NEGATIVE, "nat": NAT, "nce": {**NAT, "trained_parameters": 8}, "cot-kd": NEGATIVE}


@pytest.fixture
def checker() -> Iterator[Checker]:
    with Checker() as found:
        yield found


def side(run: Run, model: str = "nce") -> Side:
    return Side(run, model, EngineSpec())


def compared(
    checker: Checker, sides: Sequence[Side], specs: Sequence[str], named: Sequence[Side] = (), **more: Any
) -> dict[str, Any]:
    return compare_stored(Selection(sides, named, specs, **more), checker)


def test_runs_that_differ_only_in_the_seed_are_one_arm(tmp_path: Path) -> None:
    spec = make_benchmark(tmp_path)
    kd = [make_run(f"kd-{seed}", [spec], TRAINED, seed=seed) for seed in (2, 0)]
    other = make_run("other", [spec], TRAINED, adapter={"r": 4})
    (seeds, alone) = make_arms([side(run) for run in (*kd, other)])
    assert (seeds.run, seeds.runs, seeds.seeds) == ("kd-*", ["kd-0", "kd-2"], [0, 2])
    assert (alone.run, alone.model, alone.seeds) == ("other", "nce", [0])
    again = make_run("again", [spec], TRAINED, seed=0)
    assert [arm.runs for arm in make_arms([side(run) for run in (*kd, again)])] == [["kd-2"], ["kd-0"], ["again"]], (
        "two runs with one seed are no two seeds"
    )
    models = make_arms([side(kd[0]), side(kd[1]), side(kd[0], "cot-kd")])
    assert [(arm.model, len(arm.sides)) for arm in models] == [("nce", 2), ("cot-kd", 1)]


def test_the_cells_of_a_studys_arm_are_its_seeds_though_their_budgets_differ(tmp_path: Path) -> None:
    spec = make_benchmark(tmp_path)
    cells = [
        make_run(f"s.kd.{seed}", [spec], TRAINED, seed=seed, training={"baseline": {"tokens": 500 + seed}})
        for seed in (0, 1)
    ]
    assert len(make_arms([side(run) for run in cells])) == 2, "there is no study of that name"
    (runs_home() / "studies" / "s").mkdir(parents=True)
    (arm,) = make_arms([side(run) for run in cells])
    assert (arm.run, arm.seeds) == ("s.kd.*", [0, 1])


def test_mean_and_standard_deviation_over_seeds(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 6)
    runs = [make_run(f"kd-{seed}", [spec], TRAINED, seed=seed) for seed in (0, 1, 2)]
    for run, marks in zip(runs, ("+++---", "++++--", "+++++-"), strict=True):
        answer(run, "nce", spec, marks)
    answer(runs[0], "cot-kd", spec, "+-----")
    result = compared(checker, [side(run) for run in runs] + [side(runs[0], "cot-kd")], [spec])
    seeds, single = result["results"]
    assert seeds["by_seed"] == [0.5, pytest.approx(4 / 6), pytest.approx(5 / 6)]
    assert seeds["accuracy"] == pytest.approx(4 / 6)
    assert seeds["sd"] == pytest.approx(1 / 6), "with n − 1"
    assert (seeds["n"], seeds["seeds"], seeds["run"]) == (6, [0, 1, 2], "kd-*")
    assert seeds["ci95"] == pytest.approx(wilson(4, 6))
    assert (single["sd"], single["seeds"], single["accuracy"]) == (None, [0], pytest.approx(1 / 6)), "one seed, no sd"
    assert result["a"] is None, "more than two models of single runs are not paired"


def test_seeds_are_compared_on_the_problems_that_all_have_evaluated(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 6)
    runs = [make_run(f"kd-{seed}", [spec], TRAINED, seed=seed) for seed in (0, 1)]
    answer(runs[0], "nce", spec, "++++--")
    answer(runs[1], "nce", spec, "+--")
    (row,) = compared(checker, [side(run) for run in runs], [spec])["results"]
    assert (row["n"], row["by_seed"]) == (3, [1.0, pytest.approx(1 / 3)])


def test_seeds_vote_with_equal_numbers_of_chains_and_those_without_votes_are_left_out(
    tmp_path: Path, checker: Checker
) -> None:
    spec = make_benchmark(tmp_path, 3)
    runs = [make_run(f"kd-{seed}", [spec], TRAINED, seed=seed) for seed in (0, 1, 2)]
    answer(runs[0], "nce", spec, "---", "+--- +--- +---")
    answer(runs[1], "nce", spec, "---", "+- -- ++")
    answer(runs[2], "nce", spec, "++-")
    rows = {row["rule"]: row for row in compared(checker, [side(run) for run in runs], [spec])["results"]}
    assert (rows[None]["seeds"], rows["sc"]["seeds"], rows["sc"]["runs"]) == ([0, 1, 2], [0, 1], ["kd-0", "kd-1"])
    assert rows["sc"]["samples"] == 2
    assert rows["sc"]["by_seed"] == [1.0, pytest.approx(2 / 3)], "of two chains the first one wins a tie"


def test_accuracy_by_subject_and_level_has_an_interval_for_every_model_and_rule(
    tmp_path: Path, checker: Checker
) -> None:
    spec = make_benchmark(tmp_path, 6)
    run = make_run("a", [spec], TRAINED)
    answer(run, "nce", spec, "++-+--", "+++ --- +++ +-- --- ++-")
    rows = compared(checker, [side(run)], [spec], by="subject")["results"]
    found = {(row["rule"], row["group"]): row for row in rows}
    assert (found[None, "Algebra"]["n"], found[None, "Algebra"]["accuracy"]) == (4, 0.75), "problems 0, 1, 3 and 4"
    assert (found[None, "Geometry"]["n"], found[None, "Geometry"]["accuracy"]) == (2, 0.0)
    assert found[None, None]["accuracy"] == 0.5
    assert (found["sc", "Algebra"]["accuracy"], found["sc", "Geometry"]["accuracy"]) == (0.25, 1.0)
    assert found["sc", "Algebra"]["samples"] == 3
    assert (found["any", "Algebra"]["accuracy"], found["any", None]["accuracy"]) == (0.5, pytest.approx(4 / 6))
    assert "mean" not in {rule for rule, _ in found}, "estimates only if they are named"
    assert all(row["ci95"][0] <= row["accuracy"] <= row["ci95"][1] for row in rows)
    rows = compared(checker, [side(run)], [spec], by="level", rules=["mean"])["results"]
    assert [(row["group"], row["n"]) for row in rows] == [("Level 1", 3), ("Level 2", 3), (None, 6)]
    assert rows[0]["accuracy"] == pytest.approx((1 + 1 + 0) / 3)


def test_runs_of_different_benchmarks_share_a_table(tmp_path: Path, checker: Checker) -> None:
    one, two = make_benchmark(tmp_path, 4, "one.jsonl"), make_benchmark(tmp_path, 3, "two.jsonl")
    a, b = make_run("a", [one], TRAINED), make_run("b", [two], TRAINED, adapter={"r": 4})
    answer(a, "nce", one, "++--")
    answer(b, "nce", two, "+--")
    result = compared(checker, [side(a), side(b)], [one, two])
    assert [(row["run"], row["benchmark"], row["n"]) for row in result["results"]] == [
        ("a", "jsonl@one.jsonl", 4),
        ("b", "jsonl@two.jsonl", 3),
    ]
    assert (result["a"], result["comparison"], result["overlap"]) == ("a:nce", [], [])


def test_two_models_are_tested_problem_by_problem(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 6)
    run = make_run("a", [spec], TRAINED)
    answer(run, "cot-kd", spec, "++++--")
    answer(run, "negative", spec, "+---+-")
    result = compared(checker, [side(run, "cot-kd"), side(run, "negative")], [spec], by="subject")
    (row,) = result["comparison"]
    assert (row["a"], row["b"], row["only_a"], row["only_b"], row["p"]) == (
        pytest.approx(4 / 6), pytest.approx(2 / 6), 3, 1, 0.625)  # fmt: skip
    total = result["overlap"][-1]
    assert (total["a"], total["b"], total["both"], total["either"], total["iou"]) == (4, 2, 1, 5, 0.2)
    assert [item["group"] for item in result["overlap"]] == ["Algebra", "Geometry", None]


def test_the_sizes_include_the_stages_that_a_model_builds_on(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 3)
    runs = [make_run("a", [spec], TRAINED), make_run("b", [spec], {**TRAINED, "nat": {**NAT, "tokens": 300}}, seed=1)]
    for run in runs:
        for model in ("base", "nat", "nce"):
            answer(run, model, spec, "+--")
    result = compared(checker, [side(run, model) for run in runs for model in ("base", "nat", "nce")], [spec])
    base, nat, nce = result["models"]
    assert (base["parameters"], base["tokens"], base["stages"]) == (0, 0, {})
    assert (nat["parameters"], nat["tokens"]) == (38, 350), "the frozen negative adapter is trained too"
    assert nat["stages"] == {"negative": 100, "nat": 250}, "the mean over seeds"
    assert (nce["parameters"], nce["tokens"]) == (8, 550)
    size = trained_size(runs[0], "redi")
    assert (size.tokens, size.total_tokens) == ({"cot-kd": 100, "redi": None}, None), "redi is not trained"


def test_a_model_without_answers_is_an_error_if_it_was_named(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 3)
    run = make_run("a", [spec], TRAINED)
    sides = [side(run), side(run, "negative")]
    with pytest.raises(UsageError, match="a:nce has no stored answers") as none:
        compared(checker, sides, [spec], options="--limit 3")
    assert none.value.fix == "evaluate it with `nsad eval --run a --model nce --limit 3`"
    answer(run, "nce", spec, "+--")
    assert [row["model"] for row in compared(checker, sides, [spec])["models"]] == ["nce"]
    with pytest.raises(UsageError, match="a:negative has no stored answers") as error:
        compared(checker, sides, [spec], named=sides)
    assert error.value.exit_code == 2
    assert math.isclose(compared(checker, sides[:1], [spec])["results"][0]["accuracy"], 1 / 3)

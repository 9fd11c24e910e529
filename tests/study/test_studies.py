"""Whole studies with a tiny student: cells, shared stages, equal budgets, resuming, failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nsad_cli.config.stages import training_stages
from nsad_cli.errors import UsageError
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run, list_runs, run_state, runs_home
from nsad_cli.runs.trained_size import TrainedSize
from nsad_cli.study import results as results_module
from nsad_cli.study.budget import measure_cell
from nsad_cli.study.cells import Cell, make_cells
from nsad_cli.study.definition import Arm, Study, load_study
from nsad_cli.study.execute import in_order, run_study
from nsad_cli.study.process import at_once
from nsad_cli.study.results import study_results
from tests.helpers.nsad_process import run_nsad
from tests.helpers.plugin_package import install_example
from tests.helpers.study_files import study_file

if TYPE_CHECKING:
    from pathlib import Path


def run(study: Study, jobs: int = 1) -> tuple[dict[str, Any], dict[str, str]]:
    """Run a study; its results, and what was said of each cell last."""
    states: dict[str, str] = {}
    cells, failures = run_study(study, in_order if jobs == 1 else at_once(jobs), watch=states.__setitem__)
    return study_results(study, cells, failures), states


def trained_by(name: str, stage: str) -> float:
    """When a run's stage ended."""
    return float(Run.open(name).stages()[stage]["ended"])


def weights(name: str, stage: str) -> bytes:
    return (Run.open(name).adapter_path(stage) / "adapter_model.safetensors").read_bytes()


def test_a_study_runs_each_cell_once_and_copies_what_is_equal(tiny_llama: Path, tmp_path: Path) -> None:
    arms = {"cot-kd": None, "nat": None, "longer": {"model": "nat", "set": {"training.nat.epochs": 2}}}
    study = load_study(str(study_file(tmp_path, tiny_llama, arms, seeds=2)))
    result, states = run(study)
    names = [f"compare.{arm}.{seed}" for seed in (0, 1) for arm in arms]
    assert list(states) == names
    assert set(states.values()) == {"finished"}
    assert result["control"] == "cot-kd"
    assert [row["arm"] for row in result["arms"]] == list(arms)
    assert [row["n"] for row in result["arms"]] == [12, 12, 12]
    assert all(len(row["by_seed"]) == 2 for row in result["arms"])
    assert json.loads((runs_home() / "studies" / "compare" / "study.json").read_text()) == result

    # One collection, and one negative adapter per seed; NAT differs by its settings.
    copied = {row["run"]: row["copied"] for row in result["cells"]}
    assert copied["compare.longer.0"] == {"negative": "compare.nat.0"}
    assert copied["compare.longer.1"] == {"negative": "compare.nat.1"}
    assert weights("compare.longer.0", "negative") == weights("compare.nat.0", "negative")
    assert weights("compare.longer.0", "negative") != weights("compare.longer.1", "negative")
    stores = {Run.open(name).store_path for name in names}
    assert stores == {study.path / "store.sqlite"}
    collected = [Run.open(name).stages()["collect"] for name in names]
    assert [record.get("copied_from") for record in collected] == [None, *["compare.cot-kd.0"] * 5]

    # A second time nothing is done again, and the results are the same.
    before = {name: Run.open(name).manifest()["stages"] for name in names}
    again, _ = run(study)
    assert again == result
    assert {name: Run.open(name).manifest()["stages"] for name in names} == before


def test_a_copied_stage_is_what_the_run_would_have_trained(tiny_llama: Path, tmp_path: Path) -> None:
    study = load_study(str(study_file(tmp_path, tiny_llama, ["nat", "self-distillation"])))
    run(study)
    (alone,) = (cell for cell in make_cells(study) if cell.arm.name == "self-distillation")
    apart = Run.create("apart", alone.recipe)
    run_stages(apart, ["collect", "grade", "negative", "nat"])
    for stage in ("negative", "nat"):
        assert Run.open(alone.name).stages()[stage]["copied_from"] == "compare.nat.0"
        assert weights(alone.name, stage) == weights("apart", stage)
        assert Run.open(alone.name).stages()[stage]["key"] == apart.stages()[stage]["key"]


def test_arms_have_equal_tokens_in_all_stages(tiny_llama: Path, tmp_path: Path) -> None:
    arms = ["cot-kd", "nat", "nat-control", "base"]
    path = study_file(tmp_path, tiny_llama, arms, equal="total-tokens")
    result, _ = run(load_study(str(path)))
    tokens = {row["arm"]: row["tokens"] for row in result["arms"]}
    assert tokens.pop("base") == 0
    (row,) = (row for row in result["cells"] if row["arm"] == "cot-kd")
    step = row["tokens"]["cot-kd"] / row["steps"]["cot-kd"]
    assert max(tokens.values()) - min(tokens.values()) <= 1.5 * step, "half a step for each stage that was set"
    cells = {row["arm"]: row["tokens"] for row in result["cells"]}
    assert cells["nat"]["negative"] > 0
    assert cells["cot-kd"]["cot-kd"] > 1.2 * cells["nat"]["nat"], "it makes up for the negative adapter"
    again, _ = run(load_study(str(path)))
    assert again == result, "trained stages do not change the budget"


def test_arms_have_equal_steps(tiny_llama: Path, tmp_path: Path) -> None:
    arms = {"nat": None, "cot-kd": {"set": {"training.baseline.batch_size": 4, "training.baseline.epochs": 0.5}}}
    result, _ = run(load_study(str(study_file(tmp_path, tiny_llama, arms, equal="steps"))))
    steps = {row["arm"]: row["steps"][row["arm"]] for row in result["cells"]}
    assert steps["nat"] == steps["cot-kd"] > 1


def test_plain_arms_get_the_rank_that_has_nats_parameters(tiny_llama: Path, tmp_path: Path) -> None:
    arms = ["nat", "cot-kd"]
    study = load_study(str(study_file(tmp_path, tiny_llama, arms, equal="parameters")))
    result, _ = run(study)
    parameters = {row["arm"]: row["parameters"] for row in result["arms"]}
    nat, kd = Run.open("compare.nat.0"), Run.open("compare.cot-kd.0")
    own = nat.stages()["nat"]["result"]["trained_parameters"] + nat.stages()["negative"]["result"]["trained_parameters"]
    assert parameters["nat"] == own
    rank = kd.recipe.adapter.r
    assert rank > nat.recipe.adapter.r
    assert kd.recipe.adapter.alpha / rank == nat.recipe.adapter.alpha / nat.recipe.adapter.r
    assert abs(parameters["cot-kd"] - own) <= parameters["cot-kd"] / rank / 2 + 1, "half a rank at most"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failed_cell_is_reported_and_the_others_go_on(tiny_llama: Path, tmp_path: Path, jobs: int) -> None:
    arms = {"base": None, "empty": {"model": "cot-kd", "set": {"training.baseline.max_chars": 1}}, "cot-kd": None}
    result, states = run(load_study(str(study_file(tmp_path, tiny_llama, arms))), jobs)
    assert list(states.values()) == ["finished", "failed", "finished"]
    rows = {row["arm"]: row for row in result["arms"]}
    assert rows["empty"]["accuracy"] is None
    assert rows["empty"]["p"] is None
    assert rows["cot-kd"]["p_holm"] is not None
    (error,) = [row["error"] for row in result["cells"] if row["state"] == "failed"]
    assert "no rationale" in error
    assert "longer than 1 characters" in error


def start(path: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nsad_cli", "study", str(path), "--json", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_study_resumes_to_the_same_result(tiny_llama: Path, tmp_path: Path, jobs: str) -> None:
    arms = {"nat": None, "longer": {"model": "nat", "set": {"training.nat.epochs": 2}}}
    path, names = study_file(tmp_path, tiny_llama, arms), ["compare.nat.0", "compare.longer.0"]
    process = start(path, "--jobs", jobs)
    while process.poll() is None and not list(runs_home().glob("compare.*/adapters/negative/*.json")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 120
    while any(Run.open(name).busy() for name in names):  # with --jobs, their own processes end after the study's
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "finished" not in {run_state(Run.open(name)) for name in names}
    resumed = start(path, "--jobs", jobs)
    said, notes = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, notes
    result = json.loads(said)
    assert [row["state"] for row in result["cells"]] == ["finished"] * 2
    assert {run_state(found) for found in list_runs()} == {"finished"}
    assert sum(row["copied"].keys() == {"negative"} for row in result["cells"]) == 1, "one cell trained it"

    straight, _ = run(load_study(str(path), name="other"))
    for arm, stage in (("nat", "negative"), ("nat", "nat"), ("longer", "nat")):
        assert weights(f"compare.{arm}.0", stage) == weights(f"other.{arm}.0", stage)
    assert [row["accuracy"] for row in result["arms"]] == [row["accuracy"] for row in straight["arms"]]


def test_a_plugins_objective_is_an_arm(tiny_llama: Path, tmp_path: Path) -> None:
    folder, home = install_example(tmp_path / "package"), tmp_path / "home"
    path = study_file(tmp_path, tiny_llama, ["cot-kd", "focal"], equal="total-tokens")
    done = run_nsad(home, "study", str(path), "--json", **folder)
    assert done.returncode == 0, done.stderr
    rows = {row["arm"]: row for row in json.loads(done.stdout)["arms"]}
    assert rows["focal"]["tokens"] > 0
    assert rows["focal"]["p"] is not None
    assert rows["cot-kd"]["p"] is None, "the control"


def test_a_plan_runs_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    path = study_file(tmp_path, tiny_llama, ["cot-kd", "nat", "nce", "base"], seeds=3, equal="total-tokens")
    home = tmp_path / "home"
    done = run_nsad(home, "study", str(path), "--plan", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["cells"] == 12
    arms = {arm["arm"]: arm for arm in plan["arms"]}
    assert arms["nce"]["shared"] == ["negative"], "its NAT is trained on fewer tokens than the arm nat"
    assert arms["base"]["tokens"] == arms["base"]["parameters"] == 0
    assert arms["cot-kd"]["tokens"] == pytest.approx(arms["nce"]["tokens"], rel=0.05)
    assert not (home / "runs").exists()
    shown = run_nsad(home, "study", str(path), "--plan")
    assert "all cells" in shown.stdout
    assert "(negative)" in shown.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"arms": ["nat", "nta"]}, "unknown model `nta`"),
        ({"arms": {"a": {"modell": "nat"}}}, "the arm `a` is malformed"),
        ({"arms": ["nat", "nat"]}, "malformed"),
        ({"arms": []}, "no arms"),
        ({"arms": {"a/b": {"model": "nat"}}}, "not a valid name"),
        ({"arms": ["nat"], "control": "nce"}, "invalid value `nce` of --control"),
        ({"arms": ["nat"], "equal": "time"}, "invalid value `time` of --equal"),
        ({"arms": ["nat"], "seeds": 0}, "invalid seeds"),
        ({"arms": ["nat"], "seeds": [1, 1]}, "invalid seeds"),
        ({"arms": ["nat"], "trainin": {}}, "trainin"),
        ({"arms": ["nat"], "evaluation": {"benchmarks": []}}, "no benchmark"),
        ({"arms": ["nat"], "rule": "vote"}, "invalid value `vote` of --rule"),
        ({"arms": ["nce", "nat"], "rule": "asc"}, "the arm `nat` has no ranker for asc"),
        ({"arms": ["nce"], "rule": "asc", "evaluation": {"samples": 0}}, "no chains to vote by asc"),
    ],
)
def test_a_malformed_study_is_refused(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({"recipe": "demo", **content}))
    with pytest.raises(UsageError, match=said):
        load_study(str(path))


def test_a_recipe_with_arms_is_a_study() -> None:
    study = load_study("demo", arms=["base", "nat"], seeds=3, name="mine")
    assert [cell.name for cell in make_cells(study)][:3] == ["mine.base.0", "mine.nat.0", "mine.base.1"]
    with pytest.raises(UsageError, match="no arms"):
        load_study("demo")
    with pytest.raises(UsageError, match=r"training\.nat\.epoch"):
        make_cells(Study("s", study.recipe, (Arm("a", "nat", {"training.nat.epoch": 1}),), (0,), "a"))


def test_the_stages_of_each_model() -> None:
    assert training_stages("base", "teacher") == ()
    assert training_stages("nce", "teacher") == ("negative", "nat", "nce")
    assert training_stages("redi", "teacher") == ("cot-kd", "redi")
    assert training_stages("nat-control", "teacher") == ("positive", "nat-control")
    assert training_stages("nat", "own") == ("positive", "negative", "nat")
    assert training_stages("critical-tokens", "teacher") == ("positive", "negative", "critical-tokens")


@pytest.mark.parametrize("name", ["negatives-few-right", "negatives-plan-traps", "negatives-gsm8k"])
def test_shipped_studies_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_DATA", "somewhere")
    study = load_study(name)
    cells = make_cells(study)
    assert len(cells) == len(study.arms) * 3
    assert {"nat", "nat-delta", "wrong-first", "right-first", study.control} <= {arm.name for arm in study.arms}
    assert study.equal == "total-tokens"
    against = {arm.name: study.control_of(arm) for arm in study.arms}
    assert (against["cot-kd"], against["right-first"], against["nat"]) == (None, "cot-kd", "nat-none")


def test_chosen_arms_are_those_of_the_file() -> None:
    study = load_study(
        "negatives-few-right", arms=["nat-delta-none", "nat-delta", "nce"], control="nat-delta-none", name="confirm"
    )
    assert [(arm.name, arm.model, study.control_of(arm)) for arm in study.arms] == [
        ("nat-delta-none", "nat", None),
        ("nat-delta", "nat", "nat-delta-none"),
        ("nce", "nce", "nat-delta-none"),
    ]
    assert study.arms[1].settings == {"adapter.unit.value": "delta"}
    with pytest.raises(UsageError, match="control of the arm nat-delta"):
        load_study("negatives-few-right", arms=["cot-kd", "nat-delta"])


def test_an_arm_is_compared_with_its_own_control(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of three arms, the last one is compared with the second, which is one of two comparisons for Holm's method."""
    file = tmp_path / "own.yaml"
    file.write_text("recipe: demo\nseeds: 2\narms: {cot-kd: , right-first: , wrong-first: {control: right-first}}\n")
    study = load_study(str(file))
    right = {"cot-kd": 2, "right-first": 4, "wrong-first": 9}
    monkeypatch.setattr(
        results_module,
        "cell_outcomes",
        lambda cell, *_: {"greedy": {("x", f"p{i}"): float(i < right[cell.arm.name]) for i in range(10)}},
    )
    monkeypatch.setattr(results_module, "trained_size", lambda *_: TrainedSize({}, {}, 0))
    found = study_results(study, make_cells(study), {})
    rows = {row["arm"]: row for row in found["arms"]}
    assert [rows[name]["control"] for name in right] == [None, "cot-kd", "right-first"]
    assert rows["cot-kd"]["difference"] is None
    assert rows["right-first"]["difference"] == pytest.approx(0.2)
    assert rows["wrong-first"]["difference"] == pytest.approx(0.5)
    assert rows["wrong-first"]["p_holm"] == pytest.approx(2 * rows["wrong-first"]["p"])
    assert found["minimal_difference"]["alpha"] == pytest.approx(0.05 / 2)
    file.write_text("recipe: demo\narms: {cot-kd: , nat: {control: nat}}\n")
    with pytest.raises(UsageError, match="control of the arm nat"):
        load_study(str(file))


def test_the_control_runs_first() -> None:
    study = load_study("demo", arms=["nat", "cot-kd"], seeds=2, control="cot-kd")
    cells: tuple[Cell, ...] = make_cells(study)
    assert [cell.arm.name for cell in cells] == ["cot-kd", "nat", "cot-kd", "nat"]
    assert [cell.recipe.seed for cell in cells] == [0, 0, 1, 1]
    assert cells[1].recipe.evaluation.models == ["nat"]


def test_a_negative_adapter_that_is_not_trained_has_no_parameters_and_no_steps(
    tiny_llama: Path, tmp_path: Path
) -> None:
    nothing = {"training.negative.source": "none"}
    arms = {"nat": None, "nat-none": {"model": "nat", "set": nothing}, "negative": {"set": nothing}}
    study = load_study(str(study_file(tmp_path, tiny_llama, arms)))
    sizes = {cell.arm.name: measure_cell(cell) for cell in make_cells(study)}
    assert sizes["nat"].parameters - sizes["nat-none"].parameters == sizes["nat"].lora
    assert sizes["negative"].parameters == 0
    assert sizes["nat-none"].tokens["negative"] == 0


def test_few_right_rationales_are_not_multiplied_by_an_estimate(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan grades a sample of a large collection and scales it up; max_right is a number of the whole."""
    monkeypatch.setattr("nsad_cli.pipeline.forecast.MAX_GRADED", 30)
    study = load_study(
        str(study_file(tmp_path, tiny_llama, ["cot-kd", "negative"])), overrides={"training.max_right": 7}
    )
    control, negative = (measure_cell(cell) for cell in make_cells(study))
    assert control.examples == 7
    assert negative.examples > 7

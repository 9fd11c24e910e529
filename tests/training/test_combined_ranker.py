"""The combined ranker and step checks in a run: fitted on problems that no stage trained on, kept, loaded, refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nsad_cli.config.validation import validate_recipe
from nsad_cli.evaluation.measure import evaluate_models, load_benchmarks
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.session import Session
from nsad_cli.inference.solver import Solver, VoteSettings
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.plan import make_plan
from nsad_cli.problems import arithmetic
from nsad_cli.rankers.combined import CombinedRanker
from nsad_cli.rankers.steps import EXPONENT, StepsRanker
from nsad_cli.rankers.storage import load_ranker, save_ranker
from nsad_cli.runs.run import Run
from nsad_cli.training.combined_ranker import PENALTIES, PLAIN_PENALTY, fit_logistic
from nsad_cli.training.self_generated import own_rationales
from nsad_cli.types import Chain, Problem
from nsad_cli.voting.rules import RANKER_RULES
from tests.helpers.notes import recorded_notes
from tests.helpers.ranker_runs import SAMPLES, answer_half_rightly, ranking

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe

SPLIT = 5


def combined(model: Path, **more: Any) -> Recipe:
    return ranking(model, {}, more.pop("kind", "combined"), split=SPLIT, **more)


@pytest.fixture(scope="module")
def taught(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run up to its student, with chains for a ranker; copied by every test."""
    os.environ["NSAD_HOME"] = str(tmp_path_factory.mktemp("combined"))
    run = Run.create("taught", combined(tiny_llama))
    run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
    answer_half_rightly(run)
    return run


def copy_of(run: Run, name: str, settings: Recipe | None = None) -> Run:
    home = Path(os.environ["NSAD_HOME"])
    shutil.copytree(run.path, home / name)
    copy = Run(home / name)
    if settings is not None:
        copy.write_recipe(settings)
    return copy


def test_the_ranker_is_fitted_on_problems_that_no_stage_saw(taught: Run) -> None:
    run = copy_of(taught, "unseen")
    planned = {stage.stage: stage for stage in make_plan("unseen", run.recipe).stages}["ranker"]
    result = run_stages(run, ["ranker"])["ranker"]
    kept = set(result["problem_ids"])
    assert len(kept) == SPLIT
    for stage in ("negative", "nat", "nce"):
        assert not kept & set(run.stages()[stage]["result"]["problem_ids"]), stage
    assert planned.samples == result["examples"] == SPLIT * SAMPLES
    assert planned.lora_parameters == result["trained_parameters"]
    report = result["ranking"]
    assert report["unseen_problems"]
    assert report["measured"]["right"] == SPLIT * SAMPLES // 2
    assert report["measured"]["pair_accuracy"]["value"] > 0.7, "right chains say another word"
    assert report["refused"] is None
    session = Session(run)
    ranker = session.ranker()
    assert isinstance(ranker, CombinedRanker)
    problem = next(iter(arithmetic.problems("test", 1)))
    chains = [
        Chain(problem.id, i, text, None, logprobs=(-1.0,))
        for i, text in enumerate(("5 more. The answer is 5.", "2 loses."))
    ]
    right, wrong = ranker.score(problem, chains)
    assert right is not None
    assert wrong is not None
    assert right.weight > wrong.weight
    assert right.probability is not None
    assert 0 < right.probability < 1
    again = copy_of(taught, "again")
    assert run_stages(again, ["ranker"])["ranker"]["weights"] == result["weights"]


def test_without_a_split_training_problems_are_used(taught: Run, tiny_llama: Path) -> None:
    run = copy_of(taught, "seen", ranking(tiny_llama, {}, "combined", split=0))
    result = run_stages(run, ["ranker"])["ranker"]
    assert result["examples"] == 20 * SAMPLES
    assert not result["ranking"]["unseen_problems"]


@pytest.mark.parametrize("kind", ["head", "probe"])
def test_other_kinds_are_measured_and_weighted_on_the_split(kind: str, taught: Run, tiny_llama: Path) -> None:
    run = copy_of(taught, f"split-{kind}", combined(tiny_llama, kind=kind))
    result = run_stages(run, ["ranker"])["ranker"]
    report = result["ranking"]
    assert report["measured"]["chains"] == SPLIT * SAMPLES
    assert report["weighting"]["form"] == "odds"
    kept = {problem.id for problem in arithmetic.problems("train", 20)} - set(result["problem_ids"])
    assert len(kept) >= SPLIT, "its pairs are of other problems"


def test_a_saved_combined_ranker_scores_the_same(taught: Run, tmp_path: Path) -> None:
    run = copy_of(taught, "saved")
    run_stages(run, ["ranker"])
    session = Session(run)
    ranker = session.ranker()
    assert isinstance(ranker, CombinedRanker)
    save_ranker(ranker.scorer, ranker.scoring, tmp_path / "ranker", reads="x")
    loaded = load_ranker(session.student, session.adapters, tmp_path / "ranker")
    problem = Problem("p", "3 + 4?", "7", "test")
    chains = [Chain("p", 0, "3 + 4 = 7", "7", logprobs=(-0.1, -2.0)), Chain("p", 1, "", None), Chain("p", 2, "8", "8")]
    scores = ranker.score(problem, chains)
    assert loaded.score(problem, chains) == scores
    assert scores[1] is None
    assert scores[2] is not None, "without log-probabilities or steps their means stand in"
    plain = load_ranker(session.student, session.adapters, tmp_path / "ranker", "calibrated")
    assert plain.name == f"{loaded.name}-calibrated"
    assert [score and score.weight for score in plain.score(problem, chains)] == [
        score and score.probability for score in scores
    ]


def test_the_fit_is_at_its_optimum() -> None:
    torch.manual_seed(0)
    plain, states = torch.randn(2, 200, 6, dtype=torch.float64)
    plain[::7, 3] = torch.nan
    right = ((plain[:, 0].nan_to_num() + states[:, 1] + 0.5 * torch.randn(200)) > 0).double()
    model = fit_logistic(plain, states, right, 30.0)
    filled = torch.where(plain.isnan(), plain.nanmean(0), plain)
    spreads = [filled.std(0, unbiased=False), states.std(0, unbiased=False)]
    weights = [model.plain.clone().requires_grad_(), model.states.clone().requires_grad_()]
    bias = model.bias.clone().requires_grad_()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        filled @ weights[0] + states @ weights[1] + bias, right, reduction="sum"
    )
    for weight, spread, penalty in zip(weights, spreads, (PLAIN_PENALTY, 30.0), strict=True):
        loss = loss + penalty / 2 * ((weight * spread) ** 2).sum()
    for gradient in torch.autograd.grad(loss, (*weights, bias)):
        assert gradient.abs().max() < 1e-3
    assert not fit_logistic(plain, states, right, PENALTIES[0]).states.any(), "infinite: left out"
    constant = fit_logistic(plain, states, torch.ones(200, dtype=torch.float64), 30.0)
    assert not constant.plain.any()


def test_a_student_that_is_never_right_gives_a_refused_ranker(taught: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own chains: a random student. Votes count by sc, the evaluation shows asc with a mark, and nothing fails."""
    monkeypatch.setattr("nsad_cli.training.fitted_ranker.ranker_chains", _never_right)
    run = copy_of(taught, "refused")
    notes = recorded_notes()
    report = run_stages(run, ["ranker"])["ranker"]["ranking"]
    assert report["refused"] is not None
    assert any("none of the student's chains is right" in line for line in notes)
    session = Session(run)
    ranker = session.ranker()
    assert ranker is not None
    with Checker() as checker:
        solver = Solver(None, None, ranker, checker, VoteSettings(4, "asc"), seed="0")  # type: ignore[arg-type]  # nothing is sampled
        assert solver.settings.rule == "sc"
        assert solver.election.refused == report["refused"]
        assert "refused" in solver.notes[0]
        counting = Solver(None, None, ranker, checker, VoteSettings(4, "sc"), seed="0")  # type: ignore[arg-type]  # nothing is sampled
        assert (counting.election.refused, counting.notes) == (None, ())
    benchmarks = load_benchmarks(run, ["arithmetic:test"], 3)
    rows = evaluate_models(session, stage="eval", models=["nce"], benchmarks=benchmarks, samples=2)["results"]
    assert {row["rule"] for row in rows if "ranker_refused" in row} == set(RANKER_RULES)


def _never_right(_session: Session, _stage: Any, corpus: Any) -> Any:
    from nsad_cli.training.ranker_chains import Answered

    return [
        Answered(problem, tuple(Chain(problem.id, i, f"{i} loses.", None, correct=False) for i in range(4)))
        for problem in corpus.for_ranker
    ]


def test_steps_need_no_student(taught: Run, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copy_of(taught, "steps", ranking(tiny_llama, {}, "steps", split=0))
    monkeypatch.setattr(Session, "student", property(lambda _: pytest.fail("loads the student")))
    result = run_stages(run, ["ranker"])["ranker"]
    assert (result["examples"], result["trained_parameters"]) == (0, 0)
    ranker = Session(run).ranker()
    assert isinstance(ranker, StepsRanker)
    assert ranker.weighting.exponent == EXPONENT
    assert ranker.refused is None


def test_steps_are_fitted_on_the_split(taught: Run, tiny_llama: Path) -> None:
    run = copy_of(taught, "steps-split", combined(tiny_llama, kind="steps"))
    report = run_stages(run, ["ranker"])["ranker"]["ranking"]
    assert report["weighting"]["form"] == "power"
    assert report["measured"]["chains"] == SPLIT * SAMPLES


def test_nat_learns_nothing_of_the_rankers_problems(taught: Run) -> None:
    """Not even from chains that it samples itself for NCE."""
    from nsad_cli.config.stages import NCE
    from nsad_cli.pipeline.pipeline import Pipeline

    pipeline = Pipeline(copy_of(taught, "self"))
    corpus = pipeline.corpus()
    kept = {problem.id for problem in corpus.for_ranker}
    assert len(kept) == SPLIT
    found = own_rationales(pipeline.session, NCE, corpus)
    assert not kept & {item.problem.id for item in found}


def test_the_split_is_a_setting_of_new_runs(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_HOME", str(tmp_path))
    student = {"student": {"model": str(tiny_llama), "device": "cpu"}}
    new = Run.create("new", validate_recipe(student, "test"))
    assert (new.recipe.training.ranker.kind, new.recipe.training.ranker.split) == ("combined", 96)
    named = Run.create("named", validate_recipe({**student, "training": {"ranker": {"kind": "head"}}}, "test"))
    assert named.recipe.training.ranker.split == 0
    text = (named.path / "recipe.yaml").read_text()
    assert "split: 0" in text
    (named.path / "recipe.yaml").write_text(text.replace("    split: 0\n", ""))  # of an earlier version
    again = Run.create("named", named.recipe.model_copy(update={"seed": 1}))
    assert again.recipe.training.ranker.split is None

"""Rankers trained in a run: every kind learns and repeats exactly, scores are calibrated, wrong settings are told."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nsad_cli.config.recipes import load_recipe
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import evaluate_models, load_benchmarks
from nsad_cli.generation.feature_callback_sampler import FeatureCallbackSampler
from nsad_cli.generation.sampler import Sampling
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.inference.session import Session
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.packing import Example
from nsad_cli.models.student import load_student
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.plan import make_plan
from nsad_cli.problems import arithmetic
from nsad_cli.rankers.base import ScoreHead, TrainedRanker
from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.linear_probe import ProbeScorer
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.training.linear_probe import fit_head
from nsad_cli.training.ranker import Candidates, make_pairs
from nsad_cli.training.ranker_calibration import MIN_CHAINS, Graded, calibrate
from nsad_cli.types import Chain, Problem
from tests.helpers.killed_runs import killed_in_turn
from tests.helpers.notes import recorded_notes
from tests.helpers.ranker_runs import SAMPLES, answer_half_rightly, ranking
from tests.helpers.trained_weights import assert_same_weights, weights

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe

KINDS = ("head", "implicit-prm", "probe", "bert", "t5")


@pytest.fixture(scope="module")
def taught(tiny_llama: Path, tiny_encoders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run up to its student, with chains for a ranker; copied by every test."""
    os.environ["NSAD_HOME"] = str(tmp_path_factory.mktemp("taught"))
    run = Run.create("taught", ranking(tiny_llama, tiny_encoders, "head"))
    run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
    answer_half_rightly(run)
    return run


def copy_of(run: Run, name: str, settings: Recipe) -> Run:
    home = Path(os.environ["NSAD_HOME"])
    shutil.copytree(run.path, home / name)
    copy = Run(home / name)
    copy.write_recipe(settings)
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_is_calibrated(
    kind: str, taught: Run, tiny_llama: Path, tiny_encoders: dict[str, Path]
) -> None:
    run = copy_of(taught, kind, ranking(tiny_llama, tiny_encoders, kind))
    planned = {stage.stage: stage for stage in make_plan(kind, run.recipe).stages}["ranker"]
    result = run_stages(run, ["ranker"])["ranker"]
    assert (planned.samples, planned.estimated) == (40, ("samples", "tokens"))
    assert result["examples"] == 40
    assert planned.lora_parameters == result["trained_parameters"]
    assert planned.unit_parameters == 0
    assert planned.seconds
    assert planned.memory_gib is not None
    assert result["kind"] == run.recipe.training.ranker.kind
    assert result["teacher_pairs"] == 0
    report = result["calibration"]
    assert report["chains"] == report["problems"] * SAMPLES == 2 * report["right"]
    assert report["pairs"] == report["problems"] * SAMPLES**2 / 4
    # Right chains say another word than wrong ones; a random student's states tell it less well, and the implicit
    # reward model starts at 0 for every chain.
    assert report["ranking_accuracy"] == 1.0 or (kind in ("probe", "implicit-prm") and report["ranking_accuracy"] > 0.7)
    assert report["calibrated"]
    assert 0 <= report["ece_after"] <= 0.5
    unseen = report["unseen"]
    assert unseen["chains"] == unseen["problems"] * SAMPLES == 2 * unseen["right"] > 0
    assert 0 <= unseen["ece"] <= 0.6
    told = [event.metrics for event in run.events.read() if "ranking_accuracy" in event.metrics]
    assert told == [report]
    mine = [event.metrics for event in run.events.read() if event.stage == "ranker"]
    assert result["held_out_loss"] == pytest.approx(min(m["held_out_loss"] for m in mine if "held_out_loss" in m))
    session = Session(run)
    ranker = session.ranker()
    assert ranker is not None
    assert isinstance(ranker, TrainedRanker)
    saved = ranker.scoring.calibration
    assert (saved.scale, saved.shift) == pytest.approx((report["scale"], report["shift"]))
    problem = next(iter(arithmetic.problems("test", 1)))
    chains = [Chain(problem.id, i, text, None) for i, text in enumerate(("5 more. The answer is 5.", "2 loses."))]
    right, wrong = ranker.score(problem, chains)
    assert right is not None
    assert wrong is not None
    assert right.weight > wrong.weight or kind == "probe"
    again = copy_of(taught, f"{kind}-again", run.recipe)
    assert run_stages(again, ["ranker"])["ranker"]["weights"] == result["weights"]


@pytest.mark.parametrize("objective", ["power", "bradley-terry", "bce"])
def test_the_probe_is_at_its_objectives_optimum(
    objective: str, taught: Run, tiny_llama: Path, tiny_encoders: dict[str, Path]
) -> None:
    """No direction lowers the penalised loss: its gradient in the standardised weights vanishes."""
    torch.manual_seed(1)
    features = 3 * torch.randn(30, 2, 5, dtype=torch.float64) + 7
    features[:, 0, 0] += 3
    head = fit_head(features, objective, 0.1)
    spread = features.flatten(0, 1).std(0, unbiased=False)
    weight, bias = head.weight.requires_grad_(), head.bias.requires_grad_()
    losses, hits = head.losses(features, objective)
    loss = losses.mean() + 0.05 * ((weight * spread) ** 2).sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-4
    assert weight[0] > 0
    assert hits.mean() > 0.6
    run = copy_of(taught, objective, ranking(tiny_llama, tiny_encoders, "probe", objective=objective))
    result = run_stages(run, ["ranker"])["ranker"]
    assert result["objective"] == objective
    assert result["calibration"]["ranking_accuracy"] > 0.7


def test_no_problem_that_calibrates_is_learned_from(
    taught: Run, tiny_llama: Path, tiny_encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from its own chains, nor, where these are few, from the teacher's; folds keep a problem's pairs together."""
    seen: dict[str, Any] = {}

    def watch(scorer: ProbeScorer, train_set: Any, held_out: Any, **more: Any) -> Any:
        seen["prompts"] = [pair.prompt for pair in train_set]
        seen["learned"] = {scorer.student.tokenizer.decode(pair.prompt) for pair in (*train_set, *held_out)}
        return fit(scorer, train_set, held_out, **more)

    def graded(scorer: ProbeScorer, chains: Any, tokens: int) -> Any:
        seen["calibrating"] = {scorer.student.tokenizer.decode(item.example.prompt) for item in chains}
        return calibrate(scorer, chains, tokens)

    def crossed(features: Any, folds: Any, *more: Any) -> Any:
        seen["folds"] = folds.tolist()
        return cross(features, folds, *more)

    from nsad_cli.training.linear_probe import _cross_validated as cross
    from nsad_cli.training.linear_probe import fit_probe as fit

    monkeypatch.setattr("nsad_cli.training.linear_probe._cross_validated", crossed)
    monkeypatch.setattr("nsad_cli.training.ranker_stage.fit_probe", watch)
    monkeypatch.setattr("nsad_cli.training.ranker_stage.calibrate", graded)
    settings = ranking(tiny_llama, tiny_encoders, "probe", min_pairs=1000, max_examples=None)
    run = copy_of(taught, "apart", settings)
    result = run_stages(run, ["ranker"])["ranker"]
    assert result["teacher_pairs"] > 0
    assert len(seen["calibrating"]) == result["calibration"]["problems"] >= 3
    assert len(seen["learned"]) > 10
    assert not seen["learned"] & seen["calibrating"]
    together = set(zip(seen["prompts"], seen["folds"], strict=True))
    assert len(together) == len(set(seen["prompts"])) < len(seen["prompts"])
    assert len(set(seen["folds"])) > 1


def test_a_probe_scores_fresh_chains_without_a_pass_and_kept_ones_with_one(
    taught: Run, tiny_llama: Path, tiny_encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_of(taught, "heard", ranking(tiny_llama, tiny_encoders, "probe"))
    run_stages(run, ["ranker"])
    passes: list[int] = []
    pack = ProbeScorer.pack

    def counted(scorer: ProbeScorer, examples: Any) -> Any:
        passes.append(len(examples))
        return pack(scorer, examples)

    monkeypatch.setattr(ProbeScorer, "pack", counted)
    benchmarks = load_benchmarks(run, ["arithmetic:test"], 3)
    session = Session(run)
    assert isinstance(session.sampler("nce"), FeatureCallbackSampler)
    assert not isinstance(session.sampler("nat"), FeatureCallbackSampler)
    rows = evaluate_models(session, stage="eval", models=["nce"], benchmarks=benchmarks, samples=4)["results"]
    assert not passes
    assert {"asc", "best"} <= {row["rule"] for row in rows}
    ranker = session.ranker()
    assert ranker is not None
    ids = [problem.id for _, problems in benchmarks for problem in problems]
    key = {"model": "nce", "model_key": session.model_key("nce"), "sampling": sampling_key(Sampling(0.7, 1.0, 8), 0)}
    with ChainStore(run.chains_path) as store:
        kept = {pid: store.get(pid, ranker=ranker.name, **key) for pid in ids}
        assert all(chain.weight is not None or not chain.text.strip() for chains in kept.values() for chain in chains)
        for pid in ids:  # as if the evaluation had stopped before it scored
            store.put_scores(pid, dict.fromkeys(range(4)), ranker=ranker.name, **key)
    found = evaluate_models(Session(run), stage="eval", models=["nce", "nat"], benchmarks=benchmarks, samples=4)
    again = found["results"]
    assert sum(passes) >= 6
    assert {row["model"] for row in again if row["rule"] == "asc"} == {"nce", "nat"}


def test_a_probe_of_another_student_is_done_without(
    taught: Run, tiny_llama: Path, tiny_encoders: dict[str, Path]
) -> None:
    run = copy_of(taught, "outdated", ranking(tiny_llama, tiny_encoders, "probe"))
    run_stages(run, ["ranker"])
    run.write_recipe(run.recipe.model_copy(update={"seed": 5}))
    run_stages(Run(run.path), ["nce"], force=True)
    notes = recorded_notes()
    session = Session(run)
    assert session.ranker() is None
    assert "train-ranker" in notes[0]
    assert not isinstance(session.sampler("nce"), FeatureCallbackSampler)


@pytest.mark.slow
def test_an_encoder_killed_resumes_to_the_same_ranker(
    taught: Run, tiny_llama: Path, tiny_encoders: dict[str, Path]
) -> None:
    settings = ranking(tiny_llama, tiny_encoders, "t5")
    whole, killed = copy_of(taught, "whole", settings), copy_of(taught, "killed", settings)
    run_stages(whole, ["ranker"])
    killed_in_turn(killed, ["ranker"], longest=0.3)
    assert_same_weights(whole, killed)


def test_a_probe_interrupted_is_fitted_to_the_same_ranker(
    taught: Run, tiny_llama: Path, tiny_encoders: dict[str, Path]
) -> None:
    """It has no checkpoints: it takes seconds, and depends on nothing but its data."""
    settings = ranking(tiny_llama, tiny_encoders, "probe")
    whole, stopped = copy_of(taught, "whole-probe", settings), copy_of(taught, "stopped-probe", settings)
    run_stages(whole, ["ranker"])

    def interrupt(event: Any) -> None:
        if event.stage == "ranker" and event.step == 2:
            raise KeyboardInterrupt

    stopped.events.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_stages(stopped, ["ranker"])
    assert stopped.stages()["ranker"]["state"] == "interrupted"
    assert Session(stopped).ranker() is None
    run_stages(Run(stopped.path), ["ranker"])
    assert_same_weights(whole, stopped)


# --- calibration ------------------------------------------------------------------------------------------------------


class Given(ProbeScorer):
    """A scorer whose logits are its examples' only tokens."""

    def __init__(self, student: Any) -> None:
        super().__init__(student, Adapters(student.model), head=ScoreHead(1, seed=0))

    def pack(self, examples: Any) -> Any:
        return torch.tensor([float(example.completion[0]) for example in examples])

    def logits(self, batch: Any) -> Any:
        return batch


def graded(*chains: tuple[int, bool], per_problem: int = 4) -> list[Graded]:
    return [Graded(str(i // per_problem), Example((), (z,)), right) for i, (z, right) in enumerate(chains)]


def test_few_chains_leave_scores_as_they_are(tiny_llama: Path) -> None:
    scorer = Given(load_student(str(tiny_llama), device="cpu"))
    few = [(3, True), (-3, False)] * (MIN_CHAINS - 1)
    calibration, report = calibrate(scorer, graded(*few), 1000)
    assert calibration == Calibration()
    assert not report["calibrated"]
    assert str(MIN_CHAINS) in report["why"]
    assert report["ranking_accuracy"] == 1.0
    assert report["ece_before"] == pytest.approx(0.047, abs=0.001)
    assert calibrate(scorer, graded(*few, (3, True), (-3, False)), 1000)[1]["calibrated"]
    assert calibrate(scorer, graded(*[(3, True), (-3, False)] * 20, per_problem=99), 1000)[0] == Calibration()
    calibration, report = calibrate(scorer, graded(*[(3, False), (-3, True)] * 20), 1000)
    assert calibration == Calibration()
    assert "no higher" in report["why"]
    assert report["ranking_accuracy"] == 0.0
    calibration, report = calibrate(scorer, [], 1000)
    assert calibration == Calibration()
    assert report["ece_before"] is None
    assert report["ranking_accuracy"] is None


def test_a_certain_ranker_learns_its_doubts(tiny_llama: Path) -> None:
    """Logits of ±6 that are wrong a quarter of the time: σ(6) = 0.998 is 0.25 from the truth."""
    scorer = Given(load_student(str(tiny_llama), device="cpu"))
    chains = [(6, True), (6, True), (6, True), (6, False), (-6, False), (-6, False), (-6, False), (-6, True)] * 8
    calibration, report = calibrate(scorer, graded(*chains, per_problem=8), 1000)
    assert report["ece_before"] == pytest.approx(0.25, abs=0.01)
    assert report["ece_after"] < 0.03
    assert calibration(6.0) == pytest.approx(0.75, abs=0.02)
    assert report["ranking_accuracy"] == pytest.approx((9 + 0.5 * 6) / 16)


def test_the_error_afterwards_is_measured_on_what_was_not_fitted(tiny_llama: Path) -> None:
    """Every second problem is another world: what one half teaches is wrong for the other."""
    scorer = Given(load_student(str(tiny_llama), device="cpu"))
    easy = [(6, True), (6, True), (-6, True), (-6, False)]
    hard = [(6, False), (6, True), (-6, False), (-6, False)]
    _, report = calibrate(scorer, graded(*(easy + hard) * 10), 1000)
    assert report["calibrated"]
    assert report["ece_after"] == pytest.approx(0.25, abs=0.06), "fitted to itself: 0"


def test_rankers_of_a_bfloat16_student_are_in_float32(tiny_llama: Path, tiny_encoders: dict[str, Path]) -> None:
    half = {"model": str(tiny_llama), "device": "cpu", "dtype": "bfloat16"}
    settings = ranking(tiny_llama, tiny_encoders, "head").model_dump()
    run = Run.create("half", validate_recipe({**settings, "student": half}, "test"))
    run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
    answer_half_rightly(run)
    for kind in ("probe", "t5"):
        settings = ranking(tiny_llama, tiny_encoders, kind).model_dump()
        copy = copy_of(run, f"half-{kind}", validate_recipe({**settings, "student": half}, "test"))
        result = run_stages(copy, ["ranker"])["ranker"]
        assert result["calibration"]["calibrated"]
        assert result["held_out_loss"] > 0
        assert {value.dtype for name, value in weights(copy).items() if "ranker" in name} == {torch.float32}


def test_a_missing_encoder_is_told_before_chains_are_sampled(
    taught: Run, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsad_cli.training.ranker_stage.own_candidates", lambda *_: pytest.fail("it samples"))
    settings = ranking(tiny_llama, {"t5": tmp_path / "nowhere"}, "t5")
    with pytest.raises(NsadError, match="not there"):
        run_stages(copy_of(taught, "missing", settings), ["ranker"])
    with pytest.raises(NsadError, match="not there"):
        make_plan("missing", settings)


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def told(**ranker: Any) -> UsageError:
        with pytest.raises(UsageError) as error:
            validate_recipe({"training": {"ranker": ranker}}, "mine.yaml")
        return error.value

    assert "has no model" in told(kind="encoder").what
    assert "flan-t5" in told(kind="encoder").fix
    assert "takes no model" in told(kind="probe", model="x").what
    assert "takes no model" in told(model="x").what
    assert "training.ranker.kind" in told(kind="decoder").what
    assert "training.ranker.objective" in told(objective="hinge").what
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"training": {"ranker": {"kind": "encoder", "model": "some/t5"}}}))
    flags = {"training.ranker.kind": "probe", "training.ranker.model": ""}
    assert load_recipe(path, flags).training.ranker.kind == "probe"
    with pytest.raises(UsageError, match="takes no model"):
        load_recipe(path, {"training.ranker.kind": "probe"})
    assert load_recipe(None, {"training.ranker.kind": "encoder", "training.ranker.model": "x"})


def test_a_fresh_pair_of_each_problem_per_epoch() -> None:
    candidates = [
        Candidates(
            Problem(str(i), f"question {i}", "1", "test"), ("right a", "right b"), ("wrong a", "wrong b", "wrong c")
        )
        for i in range(8)
    ]
    candidates.append(Candidates(Problem("x", "question", "1", "test"), ("right",), ()))

    def encode(question: str, text: str) -> Example:
        return Example(tuple(question.encode()), tuple(text.encode()))

    def drawn(seed: int) -> list[tuple[Example, Example]]:
        made = make_pairs(candidates, encode, per_problem=20, max_chars=99, seed=seed, with_replacement=True)
        return [pair.sides() for pair in made]

    pairs = drawn(0)
    assert len(pairs) == 8 * 20, "one a problem and epoch; a problem without a pair has none"
    assert len({pair for pair in pairs if pair[0].prompt == tuple(b"question 0")}) == 6, "every combination in 20 draws"
    assert pairs == drawn(0) != drawn(1)

"""The rivals: their losses on real packs against literal ones, and every one trained, told apart and evaluated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nsad_cli.config.stages import baselines, stages
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import evaluate_models, load_benchmarks
from nsad_cli.inference.session import Session
from nsad_cli.models.packing import Example
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from nsad_cli.training.adapter_stage import AdapterTraining
from nsad_cli.training.baselines import BothSidesObjective, ContrastiveObjective, RediObjective, human_solutions
from nsad_cli.training.losses import negative_training_loss, redi_loss, token_nll, unlikelihood_loss
from nsad_cli.training.ranker import Pair
from nsad_cli.training.stage_data import Corpus, with_human_solutions
from nsad_cli.training.stages import stage_key
from nsad_cli.types import Problem, Rationale, Verdict
from tests.helpers.nat_models import QV, nat_model, shake
from tests.helpers.single_sequences import EXAMPLES, alone
from tests.helpers.tiny_recipes import recipe
from tests.helpers.trained_weights import weights

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.models.nat.adapters import Adapters


RIVALS = [name for name in baselines() if stages()[name].trainer == "nsad"]
TOKEN_LOSSES = {"nt": negative_training_loss, "ul": unlikelihood_loss, "redi": redi_loss}


def adapted(name: str) -> Adapters:
    adapters = nat_model("llama")
    adapters.add_lora(name, QV, 0)
    shake(adapters, name, 1)
    return adapters


@pytest.mark.parametrize("method", ["nt", "ul", "redi"])
def test_both_sides_against_a_literal_loop(method: str) -> None:
    adapters = adapted(method)
    kind = RediObjective if method == "redi" else BothSidesObjective
    objective = kind(adapters, method, TOKEN_LOSSES[method])
    objective.eval()
    (batch,) = objective.packs(EXAMPLES, 1000)
    ours = objective.loss(batch).total
    expected = torch.zeros((), dtype=torch.float64)
    for example in EXAMPLES:
        nll = token_nll(alone(adapters, method, example), torch.tensor(example.completion))
        if method == "redi":
            expected = expected + nll.mean() * (-0.8 if example.wrong else 1)
        elif not example.wrong:
            expected = expected + nll.sum()
        elif method == "nt":
            expected = expected - 0.05 * nll.sum()
        else:
            expected = expected - 0.05 * torch.log(1 - torch.exp(-nll)).sum()
    assert ours.item() == pytest.approx(expected.item(), abs=1e-10)
    assert objective.items(EXAMPLES) == (len(EXAMPLES) if method == "redi" else 14)
    parameters = list(objective.trained().values())
    for got, want in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(expected, parameters), strict=True):
        assert (got - want).abs().max() < 1e-7


def test_the_contrastive_loss_against_a_literal_one() -> None:
    adapters = adapted("cl")
    objective = ContrastiveObjective(adapters, "cl", share=True)
    objective.eval()
    first, second = (1, 5, 9), (1, 30)
    pairs = [
        Pair(Example(first, (7, 8, 2)), Example(first, (11, 2))),
        Pair(Example(second, (2,)), Example(second, (12, 13, 2))),
    ]
    (batch,) = objective.packs(pairs, 1000)
    expected = 0.0
    for pair in pairs:
        right, wrong = (
            token_nll(alone(adapters, "cl", side), torch.tensor(side.completion)).mean() for side in pair.sides()
        )
        expected += right.item() + max(0.0, 1 - (wrong - right).item())
    assert objective.loss(batch).total.item() == pytest.approx(expected, abs=1e-10)
    assert objective.items(pairs) == 2


def test_human_solutions_state_their_answer_once() -> None:
    stated = Problem("a", "?", "7", "math", solution=r"So $\boxed{7}$.")
    silent = Problem("b", "?", "8", "gsm8k", solution="4 + 4 = 8")
    texts = [
        item.text
        for item in human_solutions(
            [
                Rationale(problem, "x", Verdict.WRONG, 0)
                for problem in (stated, silent, stated, Problem("c", "?", "1", "z"))
            ]
        )
    ]
    assert texts == [r"So $\boxed{7}$.", "4 + 4 = 8\nThe answer is 8."]


@pytest.fixture(scope="module")
def rivals(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    """Every rival trained with one budget of tokens."""
    import os

    os.environ["NSAD_HOME"] = str(tmp_path_factory.mktemp("rivals"))
    training = {**recipe(tiny_llama).training.model_dump(), "baseline": {"tokens": 1200, "warmup_steps": 0}}
    run = Run.create("rivals", recipe(tiny_llama, training=training))
    return run, run_stages(run, ["collect", "grade", "negative", "nat", "positive", *RIVALS])


def test_every_rival_trains_on_the_same_budget(rivals: tuple[Run, dict[str, Any]]) -> None:
    run, results = rivals
    assert set(RIVALS) <= results.keys()
    for name in RIVALS:
        assert 1200 <= results[name]["tokens"] < 1200 + 8 * 120, name
        assert results[name]["trained_parameters"] > 0
    lora = results["cot-kd"]["trained_parameters"]
    assert results["nat-control"]["trained_parameters"] == results["nat"]["trained_parameters"] > lora
    digests = [results[name]["weights"] for name in RIVALS]
    assert len(set(digests)) == len(digests), "each method learned something of its own"
    assert results["ft"]["examples"] < results["cot-kd"]["examples"] < results["mix"]["examples"]
    assert not weights(run).keys() & set(RIVALS)


def test_rivals_are_loaded_and_evaluated(rivals: tuple[Run, dict[str, Any]]) -> None:
    run, _ = rivals
    rows = evaluate_models(
        Session(run),
        stage="eval",
        models=["nat-control", "redi", "self-distillation"],
        benchmarks=load_benchmarks(run, ["arithmetic:test"], 2),
        samples=0,
    )["results"]
    assert [row["model"] for row in rows] == ["nat-control", "redi", "self-distillation"]
    with pytest.raises(NsadError) as error:
        Session(run).load("nce")
    assert "nsad train-nce" in error.value.fix


def test_rivals_differ_from_nat_and_nce_in_what_is_asked_alone(tiny_llama: Path) -> None:
    training = {**recipe(tiny_llama).training.model_dump(), "baseline": {"tokens": 99}}
    of = recipe(tiny_llama, training=training).training.of
    assert of("mix") == of("nat").model_copy(update={"tokens": 99})
    assert of("self-distillation") == of("nce").model_copy(update={"tokens": 99})
    with pytest.raises(UsageError, match=r"training\.baseline"):
        recipe(tiny_llama, training={**training, "baseline": {"epoch": 1}})


def test_a_rival_of_both_sides_needs_both(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"question": f"{i}: 1+1?", "answer": "2", "generated_answer": ["The answer is 2."]} for i in range(9)]
    (tmp_path / "right.jsonl").write_text("\n".join(map(json.dumps, rows)))
    teacher = {"spec": f"jsonl:{tmp_path / 'right.jsonl'}", "draws": 1}
    run = Run.create("one-sided", recipe(tiny_llama, problems={}, teacher=teacher))
    for method, words in (("ul", "right and wrong"), ("ft", "human solution"), ("cl", "right and a wrong")):
        with pytest.raises(NsadError, match=words):
            run_stages(run, ["collect", "grade", method])


def test_what_a_rival_needs_is_told(tiny_llama: Path) -> None:
    run = Run.create("alone", recipe(tiny_llama))
    run_stages(run, ["collect", "grade"])
    with pytest.raises(UsageError, match="nat"):
        run_stages(run, ["self-distillation"])
    assert list(run_stages(run, ["redi"])) == ["cot-kd", "redi"], (
        "a baseline that another one requires is trained first"
    )


@pytest.mark.parametrize("method", ["nt", "ul", "cl"])
def test_the_papers_rivals_see_human_solutions_too(tiny_llama: Path, method: str) -> None:
    """Beside D+: with them there is a further example for each problem, and the stage is another one."""
    session = Session(Run.create(method, recipe(tiny_llama)))
    problem = Problem("a", "Question: 1 + 1 ?", "2", "x", solution="1 + 1 = 2. The answer is 2 .")
    corpus = Corpus(
        (Rationale(problem, "The answer is 2", Verdict.CORRECT, 0),),
        (Rationale(problem, "The answer is 3", Verdict.WRONG, 1),),
        frozenset(),
    )
    both = with_human_solutions(corpus)
    stage = stages()[method]
    assert stage.sees_solutions
    assert len(both.positive) == 2
    assert both.positive[1].text == problem.solution
    few, more = (AdapterTraining(session, stage, part).data().train for part in (corpus, both))
    assert len(more) == len(few) + 1
    solution = tuple(session.student.completion_ids(problem.solution))
    texts = [side for item in more for side in (item.sides() if method == "cl" else (item,))]
    assert [side.wrong for side in texts if side.completion == solution] == [False]
    assert stage_key(session, stage, corpus) != stage_key(session, stage, both)


def test_human_solutions_are_asked_for_and_change_their_baselines_alone(tiny_llama: Path) -> None:
    examples, weights_of = {}, {}
    for asked in (False, True):
        stage = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "checks": 1}
        training = {"nat": stage, "baseline_human_solutions": asked}
        run = Run.create(f"asked-{asked}", recipe(tiny_llama, training=training))
        results = run_stages(run, ["collect", "grade", "ul", "mix"])
        examples[asked] = {name: results[name]["examples"] for name in ("ul", "mix")}
        weights_of[asked] = results["mix"]["weights"]
    assert examples[True]["ul"] > examples[False]["ul"]
    assert examples[True]["mix"] == examples[False]["mix"] == examples[False]["ul"]
    assert weights_of[True] == weights_of[False]

"""The baselines whose questions ask for a correct or an incorrect solution."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nsad_cli.generation.hf import HFSampler
from nsad_cli.inference.session import Session
from nsad_cli.models.student import load_student
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.plan import planning
from nsad_cli.runs.run import Run
from nsad_cli.training.baselines import LabelledObjective
from nsad_cli.training.data import encode
from nsad_cli.types import Problem, Rationale, Verdict
from tests.helpers.nat_models import QV, nat_model
from tests.helpers.single_sequences import EXAMPLES
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = "Ann has 2 pens and buys 3 more. How many has she now?"
CORRECT, INCORRECT = "\n\nGive a correct solution.", "\n\nGive an incorrect solution."


def rationale(verdict: Verdict) -> Rationale:
    return Rationale(Problem("p", QUESTION, "5", "test", "train"), "2 + 3 = 5", verdict, 0)


def test_each_question_says_which_solution_follows(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu")
    right, wrong = encode([rationale(Verdict.CORRECT), rationale(Verdict.WRONG)], student, labels=True)
    assert list(right.prompt) == student.prompt_ids(QUESTION + CORRECT)
    assert list(wrong.prompt) == student.prompt_ids(QUESTION + INCORRECT)
    assert (right.wrong, wrong.wrong) == (False, True)
    assert right.completion == wrong.completion
    (plain,) = encode([rationale(Verdict.WRONG)], student)
    assert list(plain.prompt) == student.prompt_ids(QUESTION)


def test_the_label_belongs_to_the_question_in_every_template(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu", template="Q: {question}\nA: ")
    labelled = dataclasses.replace(student, label=CORRECT)
    assert labelled.prompt_text("How many?") == f"Q: How many?{CORRECT}\nA: "


def test_weights_are_chosen_by_right_rationales() -> None:
    adapters = nat_model("llama")
    adapters.add_lora("labelled", QV, 0)
    objective = LabelledObjective(adapters, "labelled")
    assert objective.measured(EXAMPLES) == [example for example in EXAMPLES if not example.wrong]


def test_a_labelled_model_is_asked_for_correct_solutions(tiny_llama: Path) -> None:
    run = Run.create("r", recipe(tiny_llama))
    run_stages(run, ["collect", "grade", "labelled", "labelled-right"])
    session = Session(run)
    for model in ("labelled", "labelled-right"):
        sampler = session.sampler(model)
        assert isinstance(sampler, HFSampler)
        assert sampler.student.prompt_text(QUESTION).count(CORRECT) == 1
    assert session.prompter("base").prompt_text(QUESTION).count("solution.") == 0
    both, right = (run.stages()[name]["result"] for name in ("labelled", "labelled-right"))
    assert both["examples"] > right["examples"]
    with planning("r", run.recipe) as context:
        more = context.prompt_tokens("labelled") - context.prompt_tokens("base")
        assert more == len(context.student.prompt_ids(CORRECT)) - len(context.student.prompt_ids(""))

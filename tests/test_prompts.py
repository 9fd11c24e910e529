"""Few-shot prompts: as turns, as text, in a teacher's key, and as an eval method."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nsad_cli import prompts
from nsad_cli.answers.extract import extract
from nsad_cli.collect import params_key
from nsad_cli.config import TEMPLATE, Demonstration, TeacherConfig, validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.generation.hf import HFSampler, _generator, _Row
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.nat.adapters import Adapters
from nsad_cli.pipeline import run_stages
from nsad_cli.runs import Run
from nsad_cli.session import Session
from nsad_cli.students import load_student
from nsad_cli.teachers import make_teacher
from tests.training.test_stages import recipe

SHOWN = (Demonstration(question="2 + 2?", solution="The answer is 4."),)


def test_demonstrations_as_turns_and_as_text() -> None:
    assert prompts.turns(SHOWN, "Solve: {question}", "3 + 3?") == [
        {"role": "user", "content": "Solve: 2 + 2?"},
        {"role": "assistant", "content": "The answer is 4."},
        {"role": "user", "content": "Solve: 3 + 3?"},
    ]
    assert prompts.text(SHOWN, "Q: {question}\nA: ", "3 + 3?") == "Q: 2 + 2?\nA: The answer is 4.\n\nQ: 3 + 3?\nA: "
    assert prompts.text((), TEMPLATE, "x") == TEMPLATE.replace("{question}", "x"), "training's prompt is as it was"
    assert prompts.next_question(TEMPLATE) == "\nQuestion:" and prompts.next_question("{question}\n") is None


def test_built_in_demonstrations_state_their_answers() -> None:
    assert [extract(item.solution).answer for item in prompts.BUILT_IN] == ["27", "53", "5", "40"]


def test_a_changed_prompt_is_a_new_set_of_draws_and_none_changes_no_key() -> None:
    def key(**settings: object) -> str:
        server = {"base_url": ["http://127.0.0.1:1/v1"], **settings}
        return params_key(make_teacher("m", TeacherConfig.model_validate(server)))

    assert (
        key() == key(demonstrations=[])
        and "demonstrations" not in make_teacher("m", TeacherConfig(base_url=["http://127.0.0.1:1/v1"])).params
    )
    other = [{"question": "2 + 2?", "solution": "4"}]
    assert len({key(), key(prompt="{question}!"), key(demonstrations=other), key(demonstrations=other * 2)}) == 4


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"teacher": {"prompt": "solve it"}}, "must contain {question}"),
        ({"teacher": {"demonstrations": [{"question": "2 + 2?"}]}}, "solution"),
        ({"evaluation": {"demonstrations": []}}, "demonstrations"),
        ({"evaluation": {"demonstrations": [{"question": "", "solution": "x"}]}}, "question"),
    ],
)
def test_mistakes_in_a_recipe_are_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as error:
        validate_recipe(values, "test.yaml")
    assert told in f"{error.value} {error.value.why}"


def test_a_student_is_cut_where_it_goes_on_with_a_question(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu", template="a{question}")
    shown = dataclasses.replace(student, demonstrations=SHOWN)
    assert student.stop_text is None and shown.stop_text == "\na"
    sampler, task = HFSampler(shown, None, None), Task("p", "1 + 1?", (0,))
    row = _Row(task, 0, _generator("s", task, 0))
    for token in student.tokenizer("It is 7.\nabc", add_special_tokens=False)["input_ids"]:
        row.tokens.append(token)
        row.logprobs.append(-1.0)
        if sampler._has_run_on(row):
            row.cut = row.done = True
            break
    chain = sampler._chain(row)
    assert row.cut and chain.text == "It is 7." and chain.offsets[-1] == len(chain.text)
    assert len(chain.offsets) == len(chain.logprobs) == len(row.tokens)


def test_a_prompt_longer_than_the_context_is_told(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu")
    long = Demonstration(question="much " * 4000, solution="The answer is 1.")
    sampler = HFSampler(dataclasses.replace(student, demonstrations=(long,)), Adapters(student.model), None)
    with pytest.raises(NsadError, match="does not fit"):
        list(sampler.sample([Task("p", "1 + 1?", (0,))], Sampling(), seed="s"))


def test_few_shot_is_an_eval_method_with_chains_of_its_own(tiny_llama: Path) -> None:
    evaluation = {"benchmarks": ["arithmetic:test"], "limit": 3, "samples": 2, "models": ["few-shot"]}
    evaluation["demonstrations"] = [{"question": "1?", "solution": "1."}]  # the tiny model's context is short
    run = Run.create("shots", recipe(tiny_llama, evaluation=evaluation))
    results = run_stages(run, ["collect", "grade", "eval-before", "eval"], note=lambda _: None)
    rows = results["eval"]["results"]
    assert {row["model"] for row in rows} == {"few-shot"} and {row["n"] for row in rows} == {3}
    session = Session(run)
    assert session.model_key("few-shot") != session.model_key("base")
    run.write_recipe(recipe(tiny_llama, evaluation={**evaluation, "demonstrations": [SHOWN[0].model_dump()]}))
    assert Session(run).model_key("few-shot") != session.model_key("few-shot")
    assert Session(run).model_key("base") == session.model_key("base")

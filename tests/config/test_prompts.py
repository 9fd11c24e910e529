"""Few-shot prompts: as turns, as text, in a teacher's key, and as an eval method."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from transformers import AutoTokenizer

from nsad_cli.collection.collect import params_key
from nsad_cli.config import prompts
from nsad_cli.config.schema import TEMPLATE, Demonstration, TeacherConfig
from nsad_cli.config.stages import RUN_ORDER
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import load_benchmarks
from nsad_cli.generation.chain_record import ends_with_stop_text
from nsad_cli.generation.hf import HFSampler, _states_of
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.grading.extract import extract
from nsad_cli.inference.export import export_merged
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.inference.session import Session
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.student import Student, load_student
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.plan import make_plan
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.teachers import make_teacher
from nsad_cli.teachers.base import Request
from nsad_cli.training.data import encode
from nsad_cli.types import Draw, Finish, Problem, Rationale, Verdict, problem_id
from tests.helpers.notes import recorded_notes
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

CHAT = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
TURNS = "[user] 2 + 2?\n[assistant] The answer is 4.\n[user] 3 + 3?\n[assistant] "
SHOWN = (Demonstration(question="2 + 2?", solution="The answer is 4."),)


def test_demonstrations_as_turns_and_as_text() -> None:
    assert prompts.chat_messages(SHOWN, "Solve: {question}", "3 + 3?") == [
        {"role": "user", "content": "Solve: 2 + 2?"},
        {"role": "assistant", "content": "The answer is 4."},
        {"role": "user", "content": "Solve: 3 + 3?"},
    ]
    assert (
        prompts.text_prompt(SHOWN, "Q: {question}\nA: ", "3 + 3?") == "Q: 2 + 2?\nA: The answer is 4.\n\nQ: 3 + 3?\nA: "
    )
    assert prompts.text_prompt((), TEMPLATE, "x") == TEMPLATE.replace("{question}", "x"), (
        "training's prompt is as it was"
    )


def test_what_begins_a_question_of_the_models_own() -> None:
    assert prompts.next_question_markers(SHOWN, TEMPLATE) == ("\nQuestion:",)
    two = "Solve this. End with: The answer is X.\n\n Problem: {question}\n"
    assert prompts.next_question_markers(SHOWN, two) == ("\nSolve this. End with: The answer is X.", "\nProblem:")
    assert prompts.next_question_markers(SHOWN, "{question}\n") == ("\n\n",)
    paragraphs = Demonstration(question="2 + 2?", solution="Count.\n\nThe answer is 4.")
    assert prompts.next_question_markers((paragraphs,), " {question}\n") == (), "it would cut solutions in two"


def test_built_in_demonstrations_state_their_answers() -> None:
    assert [extract(item.solution).answer for item in prompts.BUILT_IN_DEMONSTRATIONS] == ["27", "53", "5", "40"]


def test_a_changed_prompt_is_a_new_set_of_draws_and_none_changes_no_key() -> None:
    def key(**settings: object) -> str:
        server = {"base_url": ["http://127.0.0.1:1/v1"], **settings}
        return params_key(make_teacher("m", TeacherConfig.model_validate(server)))

    assert key() == key(demonstrations=[])
    assert "demonstrations" not in make_teacher("m", TeacherConfig(base_url=["http://127.0.0.1:1/v1"])).params
    other = [{"question": "2 + 2?", "solution": "4"}]
    assert len({key(), key(prompt="{question}!"), key(demonstrations=other), key(demonstrations=other * 2)}) == 4


def test_what_was_drawn_before_there_were_demonstrations_keeps_its_keys(tmp_path: Path) -> None:
    """The keys of the version before: a draw that is paid, and a chain that is written, stay what they are."""
    server = TeacherConfig(base_url=["http://127.0.0.1:1/v1"], prompt="{question}!")
    assert params_key(make_teacher("m", server)) == "2cfd8467ed65e482"
    assert params_key(make_teacher("hf:/none/m", TeacherConfig(prompt="{question}!"))) == "639caf6f88c9abaa"
    assert sampling_key(Sampling(), 0) == "79592f2ac9362c1d"
    settings = validate_recipe({"student": {"model": "m", "template": "{question}!"}}, "test")
    assert Session(Run(tmp_path / "none"), settings).model_key("base") == "b209094d2d49c1dd"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"teacher": {"prompt": "solve it"}}, "must contain {question}"),
        ({"student": {"template": "solve it"}}, "must contain {question}"),
        ({"teacher": {"demonstrations": [{"question": "2 + 2?"}]}}, "demonstrations.0.solution` is not valid"),
        ({"teacher": {"demonstrations": [{"question": "2 + 2?"}]}}, "both a question and a solution"),
        ({"teacher": {"demonstrations": [{"question": "1", "solution": "2", "anser": "2"}]}}, "unknown key"),
        ({"teacher": {"demonstrations": {"question": "1", "solution": "2"}}}, "list"),
        ({"evaluation": {"demonstrations": []}}, "omit the setting"),
        ({"evaluation": {"demonstrations": [{"question": " \n", "solution": "x"}]}}, "demonstrations.0.question`"),
    ],
)
def test_mistakes_in_a_recipe_are_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as error:
        validate_recipe(values, "test.yaml")
    assert told in f"{error.value} {error.value.why}"


@pytest.mark.parametrize("opening", ["a", "問題："])
def test_a_student_is_cut_where_it_goes_on_with_a_question(tiny_llama: Path, opening: str) -> None:
    student = load_student(str(tiny_llama), device="cpu", template=opening + "{question}")
    shown = dataclasses.replace(student, demonstrations=SHOWN)
    assert student.stop_texts == ()
    assert shown.stop_texts == ("\n" + opening,)
    sampler, task = HFSampler(shown, None, None), Task("p", "1 + 1?", (0,))
    (row,) = _states_of(task, Sampling(), "s")
    for token in student.tokenizer(f"It is 7.\n{opening}bc", add_special_tokens=False)["input_ids"]:
        row.tokens.append(token)
        row.logprobs.append(-1.0)
        if ends_with_stop_text(shown, row.tokens):
            row.cut = row.done = True
            break
    chain = sampler._chain(row)
    assert row.cut
    assert chain.text == "It is 7."
    assert chain.offsets[-1] == len(chain.text)
    assert len(chain.offsets) == len(chain.logprobs) == len(row.tokens)


class Unstopped(Student):
    """A student that nothing cuts."""

    stop_texts: tuple[str, ...] = ()


def test_what_is_cut_is_the_beginning_of_what_would_have_come(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu", template="{question}\n")
    with torch.no_grad():  # a random model hardly ever ends a line: make that likelier
        student.model.lm_head.weight[student.tokenizer("\n")["input_ids"][0]] += 2
    tasks, how = [Task(name, name, tuple(range(8))) for name in ("3 + 4", "0 + 1")], Sampling(1.0, 1.0, 120)
    values = (student.model, student.tokenizer, student.spec, student.template, SHOWN)
    cut, whole = (
        {(c.problem_id, c.index): c for c in HFSampler(kind(*values), None, None).sample(tasks, how, seed="s")}
        for kind in (Student, Unstopped)
    )
    assert cut.keys() == whole.keys()
    stopped = [key for key, chain in cut.items() if len(chain.logprobs) < len(whole[key].logprobs)]
    assert stopped, "something is cut"
    for key, chain in cut.items():
        assert "\n\n" not in chain.text
        assert whole[key].text.startswith(chain.text)
        assert chain.logprobs == pytest.approx(whole[key].logprobs[: len(chain.logprobs)], abs=1e-4)
        assert len(chain.offsets) == len(chain.logprobs)
        assert chain.offsets[-1] <= len(chain.text)
        assert key not in stopped or (chain.finish is Finish.STOP and "\n\n" in whole[key].text)


def test_a_chain_ends_with_the_models_context(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu", template="{question}")
    question = student.tokenizer.decode(student.tokenizer("0 " * 600)["input_ids"][:505])
    asked, most = len(student.prompt_ids(question)), student.context
    assert most == 512
    assert 490 < asked < 512
    chains = list(HFSampler(student, None, None).sample([Task("p", question, (0, 1))], Sampling(0.0), seed="s"))
    assert {(chain.finish, len(chain.logprobs)) for chain in chains} == {(Finish.LENGTH, 512 - asked)}


def test_a_prompt_longer_than_the_context_is_told(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu")
    long = Demonstration(question="much " * 4000, solution="The answer is 1.")
    sampler = HFSampler(dataclasses.replace(student, demonstrations=(long,)), Adapters(student.model), None)
    with pytest.raises(NsadError, match="does not fit") as error:
        list(sampler.sample([Task("p", "1 + 1?", (0,))], Sampling(), seed="s"))
    assert "evaluation.demonstrations" in error.value.fix
    assert "512 tokens" in error.value.why
    plain = HFSampler(student, None, None)
    with pytest.raises(NsadError, match="does not fit") as error:
        list(plain.sample([Task("p", "much " * 4000, (0,))], Sampling(), seed="s"))
    assert "demonstrations" not in error.value.fix


def test_few_shot_is_an_eval_method_with_chains_of_its_own(tiny_llama: Path) -> None:
    evaluation = {"benchmarks": ["arithmetic:test"], "limit": 3, "samples": 2, "models": ["few-shot"]}
    evaluation["demonstrations"] = [{"question": "1?", "solution": "1."}]  # the tiny model's context is short
    run = Run.create("shots", recipe(tiny_llama, evaluation=evaluation))
    results = run_stages(run, ["collect", "grade", "eval-before", "eval"])
    rows = results["eval"]["results"]
    assert {row["model"] for row in rows} == {"few-shot"}
    assert {row["n"] for row in rows} == {3}
    rules = [row["rule"] for row in rows]
    assert {row["method"] for row in rows} == {"few-shot"}
    assert rules[:4] == [None, "sc", "wsc", "any"]
    assert {row["method"] for row in results["eval-before"]["results"]} == {"greedy"}
    session = Session(run)
    with ChainStore(run.chains_path) as store:
        kept = {(model, key) for model, key, *_ in store.sets()}
    assert kept == {(name, session.model_key(name)) for name in ("base", "few-shot")}, "each has chains of its own"
    assert session.model_key("few-shot") != session.model_key("base")
    run.write_recipe(recipe(tiny_llama, evaluation={**evaluation, "demonstrations": [SHOWN[0].model_dump()]}))
    assert Session(run).model_key("few-shot") != session.model_key("few-shot")
    assert Session(run).model_key("base") == session.model_key("base")


def test_what_is_shown_is_never_measured(tmp_path: Path) -> None:
    rows = [{"question": f"{i} + {i}?", "answer": str(2 * i)} for i in range(1, 6)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    evaluation = {"demonstrations": [item.model_dump() for item in SHOWN]}
    run = Run.create("shown", validate_recipe({"evaluation": evaluation}, "test"))
    notes = recorded_notes()
    ((_, left),) = load_benchmarks(run, [f"jsonl@{tmp_path / 'p.jsonl'}"], None)
    assert [problem.answer for problem in left] == ["2", "6", "8", "10"]
    assert "dropped 1 problems used in training or" in notes[0]


@pytest.fixture(scope="module")
def tiny_chat(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a chat template."""
    folder = tmp_path_factory.mktemp("tiny-chat")
    for file in tiny_llama.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


def test_with_a_chat_template_demonstrations_are_turns(tiny_chat: Path) -> None:
    student = load_student(str(tiny_chat), device="cpu", template="chat")
    shown = dataclasses.replace(student, demonstrations=SHOWN)
    assert shown.tokenizer.decode(shown.prompt_ids("3 + 3?")) == TURNS
    assert shown.stop_texts == ()
    assert student.tokenizer.decode(student.prompt_ids("3 + 3?")) == "[user] 3 + 3?\n[assistant] "


@pytest.mark.slow
def test_training_sampling_and_export_prompt_alike_by_chat(tiny_chat: Path, tmp_path: Path) -> None:
    evaluation = {"benchmarks": ["arithmetic:test"], "limit": 2, "samples": 2, "models": ["few-shot", "nce"]}
    evaluation["demonstrations"] = [item.model_dump() for item in SHOWN]
    student = {"model": str(tiny_chat), "device": "cpu", "template": "chat"}
    run = Run.create("chat", recipe(tiny_chat, student=student, evaluation=evaluation))
    results = run_stages(run, RUN_ORDER)
    session, problem = Session(run), Problem("p", "3 + 3?", "6", "test")
    (example,) = encode([Rationale(problem, "6", Verdict.CORRECT, 0)], session.student)
    assert session.student.tokenizer.decode(example.prompt) == "[user] 3 + 3?\n[assistant] "
    trained, untrained = session.sampler("nce"), session.sampler("few-shot")
    assert isinstance(trained, HFSampler)
    assert isinstance(untrained, HFSampler)
    assert trained.student.prompt_ids(problem.question) == list(example.prompt)
    shown = untrained.student
    assert shown.tokenizer.decode(shown.prompt_ids(problem.question)) == TURNS

    assert export_merged(session, tmp_path / "out")["template"] == "chat"
    elsewhere: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [{"role": "user", "content": problem.question}]
    assert elsewhere.apply_chat_template(messages, add_generation_prompt=True)["input_ids"] == list(example.prompt)

    planned = {stage.stage: stage for stage in make_plan("chat", run.recipe).stages}["eval"]
    rows = results["eval"]["results"]
    assert planned.state == "done"
    assert planned.tokens == sum(r["tokens"] for r in rows if r["rule"] in (None, "sc"))


@pytest.mark.parametrize("chat", [True, False])
def test_a_teacher_that_runs_here_is_shown_them(tiny_llama: Path, tiny_chat: Path, chat: bool) -> None:
    path = tiny_chat if chat else tiny_llama
    values: dict[str, Any] = {"prompt": "Solve: {question}", "max_tokens": 3, "device": "cpu"}
    problem = Problem(problem_id("3 + 3?"), "3 + 3?", "6", "test")
    drawn: list[Draw] = []
    keys = set()
    for shown in ([], [item.model_dump() for item in SHOWN]):
        teacher = make_teacher(f"hf:{path}", TeacherConfig.model_validate({**values, "demonstrations": shown}))
        teacher.draw([Request(problem, (0,))], drawn.extend, lambda *told: pytest.fail(str(told)))
        keys.add(params_key(teacher))
    first, second = (
        (f"[user] Solve: 2 + 2?\n[assistant] {SHOWN[0].solution}\n", "[user] Solve: 3 + 3?\n[assistant] ")
        if chat
        else (
            TEMPLATE.replace("{question}", "Solve: 2 + 2?") + f"{SHOWN[0].solution}\n\n",
            TEMPLATE.replace("{question}", "Solve: 3 + 3?"),
        )
    )
    tokenizer = AutoTokenizer.from_pretrained(path)
    expected = [len(tokenizer(text)["input_ids"]) for text in (second, first + second)]
    assert [draw.prompt_tokens for draw in drawn] == expected
    assert len(keys) == 2


def test_a_server_gets_turns() -> None:
    settings = TeacherConfig(base_url=["http://127.0.0.1:1/v1"], prompt="Solve: {question}", demonstrations=[*SHOWN])
    teacher: Any = make_teacher("m", settings)
    messages = teacher.body(Problem("p", "3 + 3?", "6", "test"), 1)["messages"]
    assert messages == prompts.chat_messages(SHOWN, "Solve: {question}", "3 + 3?")


@pytest.mark.slow
def test_mistakes_are_told_in_three_lines(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe(tiny_llama).model_dump(mode="json")))
    for setting, told in (
        ("teacher.demonstrations=[{question: 1}]", "valid string"),
        ("teacher.demonstrations=[{question: '1 + 1?'}]", "both a question and a solution"),
        ("evaluation.demonstrations=[]", "omit the setting"),
        ("teacher.prompt=Solve it.", "must contain {question}"),
        ("student.template=Solve it.", "must contain {question}"),
    ):
        assert told in failure(run_nsad(tmp_path, "run", "tiny.yaml", "--set", setting), 2)[1], setting
    Run.create("tiny", recipe(tiny_llama))
    arguments, home = ("eval", "--run", "tiny", "--limit", "2"), {"NSAD_HOME": os.environ["NSAD_HOME"]}
    assert "few-shot" in failure(run_nsad(tmp_path, *arguments, "--model", "few-shott", **home), 2)[2]
    lines = failure(run_nsad(tmp_path, *arguments, "--model", "few-shot", **home), 1)
    assert "does not fit" in lines[0]
    assert "512 tokens" in lines[1]
    assert "evaluation.demonstrations" in lines[2]

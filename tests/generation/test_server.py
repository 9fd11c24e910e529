"""The server engine, against a real server process that holds the same model."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.schema import Demonstration
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import evaluate_models
from nsad_cli.generation import server as engine
from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.server import ServerSampler, offsets
from nsad_cli.inference.session import Session
from nsad_cli.models.student import Student, load_student
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Finish, Problem
from tests.helpers.completions_server import running
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = [Task(f"p{i}", question, (0, 1)) for i, question in enumerate(("3 + 4", "Ana has 3 cups.", "0", "How many?"))]
SHOWN = (Demonstration(question="1 + 1?", solution="The answer is 2."),)


@dataclass(frozen=True)
class Server:
    """A running server, the folder of its model, and what it has been asked."""

    url: str
    folder: Path
    log: Path

    def asked(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def server(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    made = load_student(str(tiny_llama), device="cpu")
    with torch.no_grad():  # a random model hardly ever stops or ends a line: make both likelier
        made.model.lm_head.weight[made.eos_id] += 0.15
        made.model.lm_head.weight[made.tokenizer("\n")["input_ids"][0]] += 0.15
    made.model.save_pretrained(folder / "model")
    made.tokenizer.save_pretrained(folder / "model")
    with running(folder / "model", folder) as (url, log):
        yield Server(url, folder / "model", log)


@pytest.fixture(scope="module")
def student(server: Server) -> Student:
    """The prompt side alone."""
    return load_student(str(server.folder), device="cpu", weights=False)


def chains(
    student: Student, server: Server, sampling: Sampling, model: str = "tiny", tasks: list[Task] = TASKS
) -> dict[tuple[str, int], Chain]:
    sampler = ServerSampler(student, [server.url], model)
    return {(c.problem_id, c.index): c for c in sampler.sample(tasks, sampling, seed="s")}


@pytest.mark.parametrize("model", ["tiny", "texts", "strict", "old", "penal", "flaky"])
@pytest.mark.parametrize("shown", [(), SHOWN], ids=["plain", "few-shot"])
def test_greedy_equals_the_transformers_engine(
    student: Student, server: Server, shown: tuple[Demonstration, ...], model: str
) -> None:
    """Text, finish and log-probabilities; whatever of a request the server refuses, has as its default, or fails at."""
    sampling = Sampling(0.0, 1.0, 40)
    template = "{question}\n" if shown else student.template
    asking = dataclasses.replace(student, template=template, demonstrations=shown)
    whole = load_student(str(server.folder), device="cpu", template=template)
    local = HFSampler(dataclasses.replace(whole, demonstrations=shown), None, None)
    ours = {(c.problem_id, c.index): c for c in local.sample(TASKS, sampling, seed="s")}
    theirs = chains(asking, server, sampling, model)
    assert theirs.keys() == ours.keys()
    for key, chain in theirs.items():
        assert (chain.text, chain.finish, chain.answer) == (ours[key].text, ours[key].finish, None)
        assert chain.logprobs == pytest.approx(ours[key].logprobs, abs=1e-4)
        assert len(chain.offsets) == len(chain.logprobs)
        assert list(chain.offsets) == sorted(chain.offsets)
        if chain.text.isascii():
            assert chain.offsets == ours[key].offsets
    assert not shown or Finish.STOP in {chain.finish for chain in theirs.values()}


def test_what_is_refused_is_found_out_once_and_openai_is_asked_for_what_it_knows(
    student: Student, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(model: str) -> list[tuple[type, bool]]:
        before = len(server.asked())
        sampler = ServerSampler(student, [server.url], model, concurrency=1)
        list(sampler.sample(TASKS[:1], Sampling(0.0, 1.0, 2), seed="s"))
        return [(type(body["prompt"]), "repetition_penalty" in body) for body in server.asked()[before:]]

    assert asked("tiny") == [(list, True)] * 2
    assert asked("texts") == [(list, True), (list, False), *[(str, True)] * 2]
    assert asked("strict") == [(list, True), *[(list, False)] * 2]
    assert asked("old") == [(list, True), (list, False), (str, True), *[(str, False)] * 2]
    monkeypatch.setattr(engine, "urlsplit", lambda _: SimpleNamespace(hostname="api.openai.com"))
    assert asked("strict") == [(list, False)] * 2
    monkeypatch.setattr(engine, "urlsplit", lambda _: SimpleNamespace(hostname="notopenai.com"))
    assert asked("tiny") == [(list, True)] * 2


def test_a_chain_follows_from_seed_problem_and_index(student: Student, server: Server) -> None:
    sampling = Sampling(1.0, 1.0, 12)
    together = chains(student, server, sampling)
    assert len({chain.text for chain in together.values()}) == 8
    alone = chains(student, server, sampling, tasks=[Task("p1", TASKS[1].question, (1,))])
    assert alone == {("p1", 1): together["p1", 1]}


def test_kept_tasks_are_not_asked(student: Student, server: Server) -> None:
    tasks = [dataclasses.replace(task, cached=task.problem_id != "p2") for task in TASKS]
    before = len(server.asked())
    assert chains(student, server, Sampling(0.0, 1.0, 2), tasks=tasks).keys() == {("p2", 0), ("p2", 1)}
    assert len(server.asked()) == before + 2


def test_it_asks_with_the_students_own_prompt_and_counts_tokens(student: Student, server: Server) -> None:
    seen: list[int] = []
    sampler = ServerSampler(student, [server.url], "tiny")
    list(sampler.sample(TASKS[:1], Sampling(0.5, 0.9, 3), seed="s", on_tokens=seen.append))
    first, second = server.asked()[-2:]
    assert first["prompt"] == student.prompt_ids(TASKS[0].question)
    assert seen == [7, 7]
    assert (first["temperature"], first["top_p"], first["max_tokens"]) == (0.5, 0.9, 3)
    assert first["seed"] != second["seed"]


def test_no_more_is_asked_for_than_the_context_holds(student: Student, server: Server) -> None:
    question = "0 " * 400
    list(ServerSampler(student, [server.url], "tiny").sample([Task("p", question, (0,))], Sampling(0.0), seed="s"))
    assert server.asked()[-1]["max_tokens"] == 512 - len(student.prompt_ids(question)) < 256
    with pytest.raises(NsadError, match="does not fit"):
        list(ServerSampler(student, [server.url], "tiny").sample([Task("p", "0 " * 900, (0,))], Sampling(), seed="s"))


def test_without_logprobs_a_chain_has_none(student: Student, server: Server) -> None:
    for chain in chains(student, server, Sampling(0.0, 1.0, 5), "bare").values():
        assert chain.text
        assert chain.logprobs == chain.offsets == ()
        assert chain.logprob is None


@pytest.mark.parametrize(
    ("model", "told", "advice"),
    [
        ("other", "has no completions of the model `other`", "model's name"),
        ("secret", "rejected the API key", "OPENAI_API_KEY"),
        ("html", "is not a completion", "/v1"),
        ("broken", "fails for the model `broken`", "kept"),
    ],
)
def test_what_a_server_does_wrong_is_told(
    student: Student, server: Server, model: str, told: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush-hush")
    monkeypatch.setattr(engine, "backoff", lambda _: 0.01)
    with pytest.raises(NsadError) as error:
        chains(student, server, Sampling(0.0, 1.0, 2), model)
    assert told in error.value.what
    assert advice in error.value.fix
    assert error.value.why
    assert "hush" not in str(error.value) + error.value.fix


def test_a_dead_server_is_told_and_a_living_one_beside_it_used(
    student: Student, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "backoff", lambda _: 0.01)
    dead = "http://127.0.0.1:9/v1"
    with pytest.raises(NsadError, match="cannot reach"):
        list(ServerSampler(student, [dead], "tiny").sample(TASKS, Sampling(0.0, 1.0, 2), seed="s"))
    both = ServerSampler(student, [dead, server.url], "tiny")
    assert len(list(both.sample(TASKS, Sampling(0.0, 1.0, 2), seed="s"))) == 8


def test_who_wants_no_more_chains_waits_for_none(student: Student, server: Server) -> None:
    before = len(server.asked())
    sampler = ServerSampler(student, [server.url], "tiny", concurrency=2)
    stream = sampler.sample([Task("p", "3 + 4", tuple(range(40)))], Sampling(1.0, 1.0, 5), seed="s")
    assert next(stream).problem_id == "p"
    stream.close()  # type: ignore[attr-defined]
    assert len(server.asked()) < before + 10


def test_a_key_that_is_none_is_told(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "“sk-quoted”")
    with pytest.raises(NsadError, match="invalid API key"):
        ServerSampler(student, ["http://127.0.0.1:9/v1"], "tiny")


@given(st.lists(st.text(min_size=1, max_size=6), max_size=30))
def test_offsets_are_where_tokens_end(tokens: list[str]) -> None:
    text = "".join(tokens)
    expected = [len("".join(tokens[: i + 1])) for i in range(len(tokens))]
    assert offsets(text, tokens) == expected
    assert offsets(text, [*tokens, "<|im_end|>"])[-1] <= len(text)


def test_parts_of_a_character_end_where_the_token_before_does() -> None:
    assert offsets("a € b", ["a", " ", "bytes:\\xe2", "bytes:\\x82\\xac", " b", "<eos>"]) == [1, 2, 2, 2, 5, 5]


def test_a_runs_models_are_sampled_from_by_a_server_and_their_chains_kept_apart(server: Server) -> None:
    """As `nsad solve` and `nsad eval` do with --engine."""
    settings = {"student": {"model": str(server.folder), "device": "cpu"}, "sampling": {"max_new_tokens": 8}}
    run = Run.create("served", validate_recipe(settings, "test"))
    problems = [Problem(task.problem_id, task.question, "7", "test") for task in TASKS]
    rows = {}
    for spec in ("hf", f"server:tiny@{server.url}"):
        report = evaluate_models(
            Session(run), stage="eval", models=["base"], benchmarks=[("test", problems)], samples=2, engine=spec
        )
        rows[spec] = [(row["method"], row["tokens"]) for row in report["results"] if row["method"] == "greedy"]
    here, there = rows.values()
    assert here == there != []
    with ChainStore(run.chains_path) as store:
        keys = {key for _, key, *_ in store.sets()}
    assert len(keys) == 2
    assert sum(key.endswith("@server@tiny") for key in keys) == 1
    with pytest.raises(NsadError, match="no nce adapter"):
        Session(run).sampler("nce", f"server@{server.url}")


@pytest.mark.parametrize("spec", ["", "vlm", "server", "server@", "server@127.0.0.1:80", "hf@http://x/v1", "vllm:x"])
def test_an_engine_that_is_none_is_told(spec: str) -> None:
    with pytest.raises(UsageError, match="unknown engine"):
        parse_engine(spec)


def test_an_engine_is_read() -> None:
    assert parse_engine("hf").key("k") == "k"
    assert parse_engine("vllm").key("k") == "k@vllm"
    both = parse_engine("server:my/model@http://a/v1,https://b/v1")
    assert (both.served, both.urls) == ("my/model", ("http://a/v1", "https://b/v1"))
    assert parse_engine("server@http://a/v1").served == ""


def test_without_vllm_its_engine_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "vllm" else find(name, *a))
    run = Run.create("none", validate_recipe({"student": {"model": str(server.folder)}}, "test"))
    with pytest.raises(NsadError, match="needs vLLM"):
        Session(run).sampler("base", "vllm")


@pytest.mark.parametrize("wrong", [float("nan"), 1000.0, float("-inf")])
def test_log_probabilities_that_are_none_are_left_out_and_told(student: Student, wrong: float) -> None:
    told = recorded_notes()
    sampler = ServerSampler(student, ["http://127.0.0.1:9/v1"], "tiny")
    for values, kept in (([-0.5, 0.004], (-0.5, 0.0)), ([-0.5, wrong], ()), ([wrong, -0.5], ()), ([None, None], ())):
        choice = SimpleNamespace(
            text="ab", finish_reason="stop", logprobs=SimpleNamespace(tokens=["a", "b"], token_logprobs=values)
        )
        chain = sampler._record(TASKS[0], 0, choice)
        assert chain.logprobs == kept
        assert len(chain.offsets) == len(kept)
        assert chain.text == "ab"
    assert len(told) == 1
    assert "log-probabilities" in told[0]

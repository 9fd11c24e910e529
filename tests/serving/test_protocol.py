"""Requests of the OpenAI-compatible API: what is read, refused and ignored."""

from __future__ import annotations

from typing import Any

import pytest

from nsad_cli.generation.sampler import Sampling
from nsad_cli.inference.solver import Solution, VoteSettings
from nsad_cli.serving.live_solver import best_chain
from nsad_cli.serving.protocol import BadRequestError, Defaults, Request, read_request
from nsad_cli.types import Ballot, Chain, Problem, Vote

DEFAULTS = Defaults("run", VoteSettings(8, "asc"), Sampling(0.7, 1.0, 256))
QUESTION = {"role": "user", "content": " How many? "}


def chat(**fields: Any) -> Request:
    return read_request({"messages": [QUESTION], **fields}, DEFAULTS, chat=True)


def test_a_plain_request_gets_the_servers_settings() -> None:
    request = chat()
    assert request.ask.question == "How many?"
    assert request.ask.votes == DEFAULTS.votes
    assert request.ask.sampling == DEFAULTS.sampling
    assert request.ask.seed != chat().ask.seed, "a repeated question gets other chains"
    assert (request.stream, request.notes) == (False, ())


def test_settings_of_a_request() -> None:
    options = {"rule": "sc", "samples": 16, "stop_at": 0.9, "wave": 2}
    request = chat(
        model="run", temperature=0.2, top_p=0.5, max_tokens=64, seed=5, stream=True, nsad=options, n=1, user="me"
    )
    assert request.ask.votes == VoteSettings(16, "sc", 0.9, 2)
    assert request.ask.sampling == Sampling(0.2, 0.5, 64)
    assert request.ask.seed == "5"
    assert request.stream
    assert request.notes == ()


def test_what_is_ignored_is_said() -> None:
    earlier = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1?"}, {"role": "assistant"}]
    request = read_request(
        {"messages": [*earlier, QUESTION], "max_completion_tokens": 9999, "temperature": 0, "min_p": 0.1},
        DEFAULTS,
        chat=True,
    )
    assert request.ask.sampling.max_new_tokens == 256
    said = " | ".join(request.notes)
    assert request.ask.question == "How many?"
    for part in ("3 earlier messages", "at most 256 tokens", "temperature 0", "ignored: min_p"):
        assert part in said


def test_a_request_may_sample_all_chains_of_a_server_that_stops_early() -> None:
    defaults = Defaults("run", VoteSettings(8, "asc", 0.9), Sampling(0.7, 1.0, 256))
    body = {"messages": [QUESTION], "nsad": {"stop_at": None, "samples": None}}
    assert read_request(body, defaults, chat=True).ask.votes == VoteSettings(8, "asc", None)
    assert read_request({"messages": [QUESTION]}, defaults, chat=True).ask.votes.stop_at == 0.9


def test_what_float32_cannot_compute_is_greedy() -> None:
    assert chat(temperature=1e-46).ask.sampling.temperature == 0
    assert chat(top_p=0).ask.sampling == Sampling(0.0, 1.0, 256)


def test_text_in_parts_and_text_completions() -> None:
    parts = [{"type": "text", "text": "How"}, {"type": "text", "text": "many?"}]
    assert chat(messages=[{"role": "user", "content": parts}]).ask.question == "How\nmany?"
    assert read_request({"prompt": ["One?"]}, DEFAULTS, chat=False).ask.question == "One?"


@pytest.mark.parametrize(
    ("fields", "parameter", "said"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": "hello"}, "messages", "list"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "must be the user's"),
        ({"messages": [QUESTION, {"role": "assistant", "content": "x"}]}, "messages", "must be the user's"),
        ({"messages": [{"role": "user", "content": "what \ud800?"}]}, "messages", "lone surrogate"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages", "empty"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "Only text"),
        ({"model": "gpt-4"}, "model", "this server has `run`"),
        ({"n": 2}, "n", "not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"stop": ["\n"]}, "stop", "not supported"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"temperature": -1}, "temperature", "greater than or equal to 0"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"nsad": {"samples": 10**6}}, "nsad.samples", "less than or equal to 256"),
        ({"nsad": {"rule": "guess"}}, "nsad.rule", "rules: sc, wsc"),
        ({"nsad": {"path": "/etc/passwd"}}, "nsad.path", "not permitted"),
        ({"nsad": {"stop_at": 0.1}}, "nsad.stop_at", "greater than or equal to 0.5"),
    ],
)
def test_what_cannot_be_answered_is_refused(fields: dict[str, Any], parameter: str, said: str) -> None:
    with pytest.raises(BadRequestError) as error:
        chat(**fields)
    assert error.value.parameter == parameter
    assert said in str(error.value)
    assert error.value.status == (404 if parameter == "model" else 400)


@pytest.mark.parametrize("value", [None, [], "text", 3, {"prompt": [1, 2]}, {"prompt": ["a", "b"]}, {"prompt": ""}])
def test_malformed_text_requests(value: Any) -> None:
    with pytest.raises(BadRequestError):
        read_request(value, DEFAULTS, chat=False)


def chain(index: int, weight: float | None, logprob: float) -> Chain:
    return Chain("p", index, f"text {index}", "5", logprobs=(logprob,), weight=weight)


def solution(votes: tuple[Vote, ...], *chains: Chain) -> Solution:
    answer = votes[0].answer if votes else None
    return Solution(Problem("p", "q", "", "x"), Ballot("asc", answer, 1.0, votes), chains)


def test_the_text_is_the_best_chain_of_the_winner() -> None:
    chains = (chain(0, 0.9, -0.1), chain(1, 0.5, -0.3), chain(2, 0.5, -0.2), chain(3, None, -0.1))
    won = solution((Vote("5", 3, 1.0, (1, 2, 3)), Vote("6", 1, 0.9, (0,))), *chains)
    assert best_chain(won) == chains[2]
    assert best_chain(solution((), *chains)) == chains[0], "without an answer, of all chains"
    assert best_chain(solution(())) is None

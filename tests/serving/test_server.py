"""`nsad serve` as a real process, with the openai client, plain HTTP and another `nsad` as its clients."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest

from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from tests.helpers.completions_server import running
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.ranker_runs import answer_half_rightly, ranking
from tests.helpers.served_run import Served, serving

if TYPE_CHECKING:
    from pathlib import Path

KEY = "a-key-of-this-test"
QUESTIONS = [f"Ann has {number} pens and buys 3 more. How many has she now?" for number in range(2, 14)]


@pytest.fixture(scope="module")
def home(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one whole run, whose ranker reads the states of the student."""
    folder = tmp_path_factory.mktemp("served")
    os.environ["NSAD_HOME"], before = str(folder), os.environ.get("NSAD_HOME")
    try:
        run = Run.create("tiny", ranking(tiny_llama, {}, "probe"))
        run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
        answer_half_rightly(run)
        run_stages(run, ["ranker"])
    finally:
        os.environ.pop("NSAD_HOME")
        if before is not None:
            os.environ["NSAD_HOME"] = before
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Any:
    with serving(home, "--samples", "6", NSAD_SERVE_API_KEY=KEY) as served:
        yield served


def client(server: Served, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key=key, max_retries=0, timeout=60)


def ask(server: Served, question: str, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": question}]
    return client(server).chat.completions.create(model="tiny", messages=messages, **{"seed": 0, **more})


def http(server: Served, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    url = server.url.removesuffix("/v1") + path
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {KEY}", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_answer_is_what_solve_gives(server: Served, home: Path, tmp_path: Path) -> None:
    reply = ask(server, QUESTIONS[0])
    alone = run_nsad(tmp_path / "home", "solve", QUESTIONS[0], "--samples", "6", "--json", NSAD_HOME=str(home))
    solved = json.loads(alone.stdout)
    served = reply.nsad
    assert [chain["text"] for chain in served["chains"]] == [chain["text"] for chain in solved["chains"]]
    assert [chain["weight"] for chain in served["chains"]] == pytest.approx(
        [chain["weight"] for chain in solved["chains"]], abs=1e-5
    )
    assert (served["answer"], served["rule"]) == (solved["answer"], solved["rule"])
    texts = [chain["text"] for chain in served["chains"]]
    assert reply.choices[0].message.content in texts
    assert reply.usage.completion_tokens == sum(chain["tokens"] for chain in served["chains"])
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.model == "tiny"


def test_a_stream_reports_the_vote_and_ends_with_the_same_answer(server: Served) -> None:
    whole = ask(server, QUESTIONS[1])
    chunks = list(ask(server, QUESTIONS[1], stream=True, stream_options={"include_usage": True}))
    states = [chunk.nsad for chunk in chunks if getattr(chunk, "nsad", None)]
    assert [state["chains"] for state in states[:-1]] == [1, 2, 3, 4, 5]
    assert all(state["of"] == 6 for state in states[:-1])
    assert states[-1]["chains"] == whole.nsad["chains"]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == [
        whole.choices[0].finish_reason
    ]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_concurrent_requests_share_batches_and_are_not_mixed_up(server: Served) -> None:
    alone = {question: ask(server, question).nsad["chains"] for question in QUESTIONS}
    with ThreadPoolExecutor(12) as pool:
        together = dict(zip(QUESTIONS, pool.map(lambda question: ask(server, question), QUESTIONS), strict=True))
    for question, reply in together.items():
        assert [chain["text"] for chain in reply.nsad["chains"]] == [chain["text"] for chain in alone[question]]
        assert [chain["index"] for chain in reply.nsad["chains"]] == list(range(6))


def test_text_completions_models_health_and_metrics(server: Served) -> None:
    reply = client(server).completions.create(model="tiny", prompt=QUESTIONS[2], seed=0)
    assert reply.choices[0].text == ask(server, QUESTIONS[2]).choices[0].message.content
    assert [model.id for model in client(server).models.list()] == ["tiny"]
    assert json.loads(http(server, "/health")[1]) == {"status": "ok"}
    status, text = http(server, "/metrics")
    assert status == 200
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['nsad_requests_total{outcome="200"}']) >= 2
    assert float(values["nsad_chains_total"]) >= 12
    assert float(values["nsad_requests_in_flight"]) == 0
    assert values["nsad_request_seconds_count"] == values['nsad_request_seconds_bucket{le="+Inf"}']


def test_votes_of_a_request(server: Served) -> None:
    options = {"samples": 3, "rule": "sc"}
    reply = ask(server, QUESTIONS[3], extra_body={"nsad": options}, max_tokens=4, seed=11)
    assert len(reply.nsad["chains"]) == 3
    assert reply.nsad["rule"] == "sc"
    assert all(chain["tokens"] <= 4 for chain in reply.nsad["chains"])
    again = ask(server, QUESTIONS[3], extra_body={"nsad": options}, max_tokens=4, seed=11)
    other = ask(server, QUESTIONS[3], extra_body={"nsad": options}, max_tokens=4, seed=12)
    assert again.nsad["chains"] == reply.nsad["chains"]
    assert other.nsad["chains"] != reply.nsad["chains"]
    stopped = ask(server, QUESTIONS[3], extra_body={"nsad": {"samples": 6, "rule": "sc", "stop_at": 0.5, "wave": 2}})
    assert stopped.nsad["stopped"]["of"] == 6
    assert len(stopped.nsad["chains"]) in (2, 4, 6)


def test_a_key_is_required(server: Served) -> None:
    for key in ("", "wrong", KEY + "x"):
        with pytest.raises(openai.AuthenticationError):
            client(server, key or "none").models.list()
    assert http(server, "/metrics", Authorization="Basic " + KEY)[0] == 401
    assert http(server, "/health", Authorization="")[0] == 200
    assert http(server, "/v1/models/tiny")[0] == 200
    assert http(server, "/v1/models/other")[0] == 404
    assert http(server, "/v1/models", Authorization="Bearer \xff\xfe")[0] == 401


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'{"messages": []}', 400, "messages"),
        (json.dumps({"messages": [{"role": "user", "content": "x" * 900_000}]}).encode(), 400, "too long"),
        (json.dumps({"messages": [{"role": "user", "content": "1 " * 2000}]}).encode(), 400, "too long"),
        (b'{"messages": "' + b"x" * 2**20 + b'"}', 413, "Large"),
        (json.dumps({"messages": [{"role": "user", "content": "1?"}], "nsad": {"rule": "best", "stop_at": 0.9}})
         .encode(), 400, "--stop-at does not support"),
    ],
    ids=["cut", "deep", "bytes", "empty", "very long", "long", "large", "rule"],
)  # fmt: skip
def test_bad_requests_have_the_errors_of_the_api(server: Served, body: bytes, status: int, said: str) -> None:
    found, value = http(server, "/v1/chat/completions", body)
    assert found == status
    assert said in value["error"]["message"]
    assert value["error"]["type"] == "invalid_request_error"
    assert ask(server, QUESTIONS[0]).nsad["chains"], "it goes on"


def test_unknown_paths_and_methods(server: Served) -> None:
    assert http(server, "/v1/embeddings", b"{}")[0] == 404
    assert http(server, "/v1/chat/completions")[0] == 405
    assert http(server, "/../etc/passwd")[0] == 404


def test_clients_that_hang_up_free_their_rows(home: Path) -> None:
    """With rows for two requests, one that would take minutes is left; the next one is answered."""
    recipe = home / "tiny" / "recipe.yaml"
    text = recipe.read_text()
    try:
        recipe.write_text(text.replace("max_new_tokens: 8", "max_new_tokens: 200"))
        with serving(home, "--samples", "256", "--max-requests", "2", "--rule", "sc") as served:
            body = json.dumps({"messages": [{"role": "user", "content": QUESTIONS[0]}]})
            host, port = served.url.removeprefix("http://").removesuffix("/v1").split(":")
            request = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            left = []
            for _ in range(2):
                connection = socket.create_connection((host, int(port)))
                connection.sendall(request.encode())
                left.append(connection)
            deadline = time.monotonic() + 30
            while _in_flight(served) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            status, refused = http(served, "/v1/chat/completions", body.encode())
            assert status == 429
            assert "Too many requests" in refused["error"]["message"]
            for connection in left:
                connection.close()
            while _in_flight(served) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert _in_flight(served) == 0
            assert 'outcome="cancelled"} 2' in http(served, "/metrics")[1]
            short = json.dumps({"messages": [{"role": "user", "content": QUESTIONS[1]}], "nsad": {"samples": 1}})
            assert http(served, "/v1/chat/completions", short.encode())[0] == 200
    finally:
        recipe.write_text(text)


def _in_flight(served: Served) -> int:
    text = http(served, "/metrics")[1]
    return int(next(line for line in text.splitlines() if line.startswith("nsad_requests_in_flight ")).split()[1])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_shutting_down_finishes_the_requests_in_flight(home: Path, how: signal.Signals) -> None:
    with serving(home, "--samples", "200", "--rule", "sc") as served, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_without_key, served, QUESTIONS[4])
        deadline = time.monotonic() + 30
        while _in_flight(served) == 0 and time.monotonic() < deadline and not asked.done():
            time.sleep(0.01)
        assert served.end(how=how) == 0
        assert len(asked.result(30).nsad["chains"]) == 200
        assert any("finishing the requests in flight" in line for line in served.lines)
        with pytest.raises(openai.APIConnectionError):
            ask_without_key(served, QUESTIONS[4])


def ask_without_key(server: Served, question: str) -> Any:
    messages: Any = [{"role": "user", "content": question}]
    return client(server, "none").chat.completions.create(model="tiny", messages=messages)


def test_web_pages_cannot_use_a_server_without_a_key(home: Path) -> None:
    with serving(home) as served:
        assert http(served, "/v1/models", Authorization="")[0] == 200
        status, refused = http(served, "/v1/models", Authorization="", Origin="https://example.com")
    assert status == 403
    assert "web pages" in refused["error"]["message"]


def test_votes_over_servers(home: Path, tiny_llama: Path, tmp_path: Path) -> None:
    """The chains come from a server of completions; the ranker runs here."""
    with running(tiny_llama, tmp_path) as (url, log):
        arguments = ("--engine", f"server@{url}", "--samples", "4")
        with serving(home, *arguments, OPENAI_API_KEY="none") as served:
            reply = ask_without_key(served, QUESTIONS[6])
            assert len(reply.nsad["chains"]) == 4
            assert all(chain["weight"] is not None for chain in reply.nsad["chains"] if chain["text"].strip())
            assert {json.loads(line)["model"] for line in log.read_text().splitlines()} == {"nce"}
    with serving(home, *arguments, OPENAI_API_KEY="none") as served:  # the server has ended
        status, failed = http(served, "/v1/completions", json.dumps({"prompt": QUESTIONS[6]}).encode())
        assert status == 500
        assert "its log says why" in failed["error"]["message"]
        assert url.split("/")[2] not in failed["error"]["message"], "addresses stay in the log"
        assert any("cannot reach" in line for line in served.lines)


def test_another_nsad_collects_from_it(server: Served, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "problems.jsonl").write_text(json.dumps({"question": QUESTIONS[5], "answer": "8"}) + "\n")
    arguments = ("--problems", "jsonl@problems.jsonl", "--teacher", "tiny", "--draws", "2", "--base-url", server.url)
    result = run_nsad(home, "collect", *arguments, "--yes", "--json", OPENAI_API_KEY=KEY)
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)
    assert counts["draws"] == 2, counts


def test_an_address_that_is_taken(home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run_nsad(tmp_path / "home", "serve", "--port", port, NSAD_HOME=str(home))
    what, _, fix = failure(result, 1)
    assert f"cannot listen on 127.0.0.1:{port}" in what
    assert "--port" in fix

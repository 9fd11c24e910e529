"""Engines under errors: a ranker that fails, a model that fails, vLLM that dies, aborts and malformed replies."""

from __future__ import annotations

import asyncio
import queue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.generation.live_requests import LiveRequest, LiveRequests
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.vllm_process import GenerationRequest
from nsad_cli.serving.engines import LiveEngine, LocalEngine, VllmEngine
from nsad_cli.serving.metrics import Metrics
from nsad_cli.types import Chain, Problem, Score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class FussyRanker:
    """A ranker that fails on some problems."""

    name, refused = "fussy", None

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[Score | None]:
        if "bad" in problem.question:
            raise ValueError("no score")
        return [Score(0.5) for _ in chains]


def request(number: int, question: str = "good", chains: int = 3) -> tuple[Problem, LiveRequest]:
    problem = Problem(f"request-{number}", question, "", "test")
    return problem, LiveRequest(Task(problem.id, question, tuple(range(chains))), [1], Sampling(), "0")


async def chains_of(engine: LiveEngine, number: int, question: str = "good", chains: int = 3) -> list[Chain]:
    return [chain async for chain in engine.sample(*request(number, question, chains))]


def texts(requests: LiveRequests) -> Iterator[Chain]:
    """An engine without a model: a chain for each index; a question may break it."""
    while not requests.closed:
        arrived, _ = requests.take(wait=True)
        for item in arrived:
            if "broken" in item.task.question:
                raise RuntimeError("a kernel failed")
            for index in item.task.indices:
                yield Chain(item.task.problem_id, index, f"{item.task.question} {index}", None)


def test_an_error_of_the_ranker_is_that_of_its_request() -> None:
    async def main() -> None:
        engine = LocalEngine(texts, FussyRanker(), asyncio.get_running_loop())
        good, bad = await asyncio.gather(chains_of(engine, 0), chains_of(engine, 1, "bad"), return_exceptions=True)
        assert [chain.weight for chain in good] == [0.5] * 3  # type: ignore[union-attr]
        assert isinstance(bad, NsadError)
        assert "ValueError: no score" in bad.why
        await engine.close()

    asyncio.run(main())


def test_an_engine_that_failed_goes_on() -> None:
    async def main() -> None:
        engine = LocalEngine(texts, None, asyncio.get_running_loop())
        with pytest.raises(NsadError, match="the engine failed"):
            await chains_of(engine, 0, "broken")
        assert len(await chains_of(engine, 1)) == 3
        assert not engine.failed
        await engine.close()

    asyncio.run(main())


class Process:
    """vLLM's process without vLLM: replies to each request, in the way that its question asks for."""

    def __init__(self) -> None:
        self.replies: queue.Queue[Any] = queue.Queue()
        self.sent: list[tuple[str, str]] = []

    def send(self, item: GenerationRequest) -> None:
        self.sent.append(("request", item.key))
        how = item.sampling["how"]
        if how == "death":
            self.replies.put(NsadError("vLLM died", "its process exited", "see its output"))
        elif how == "nonsense":
            self.replies.put({"key": item.key, "finish": "stop", "tokens": []})
        elif how != "silence":
            self.replies.put({"key": item.key, "finish": "stop", "tokens": [1]})

    def abort(self, key: str) -> None:
        self.sent.append(("abort", key))

    def receive(self) -> dict[str, Any]:
        reply = self.replies.get()
        if isinstance(reply, NsadError):
            raise reply
        return dict(reply)


def vllm(process: Process) -> Any:
    """A sampler whose process is given."""

    def requests(item: LiveRequest) -> list[GenerationRequest]:
        task = item.task
        return [GenerationRequest(f"{task.problem_id}/{i}", [1], {"how": task.question}) for i in task.indices]

    def chain(task: Task, index: int, reply: dict[str, Any]) -> Chain:
        return Chain(task.problem_id, index, str(reply["tokens"][-1]), None)

    return SimpleNamespace(started=lambda: process, requests=requests, chain=chain, close=lambda: None)


def test_vllm_that_dies_ends_every_request() -> None:
    async def main() -> None:
        process = Process()
        engine = VllmEngine(vllm(process), None, asyncio.get_running_loop())
        assert len(await chains_of(engine, 0)) == 3
        waiting = asyncio.create_task(chains_of(engine, 1, "silence"))
        await asyncio.sleep(0.05)
        found = await asyncio.gather(chains_of(engine, 2, "death", 1), waiting, return_exceptions=True)
        assert all(isinstance(error, NsadError) and "died" in error.what for error in found)
        assert engine.failed
        with pytest.raises(NsadError, match="died"):
            await chains_of(engine, 3)
        await engine.close()

    asyncio.run(main())


def test_a_malformed_reply_of_vllm_is_an_error_of_its_request() -> None:
    async def main() -> None:
        engine = VllmEngine(vllm(Process()), None, asyncio.get_running_loop())
        with pytest.raises(NsadError, match="IndexError"):
            await chains_of(engine, 0, "nonsense", 1)
        assert len(await chains_of(engine, 1)) == 3
        assert not engine.failed
        await engine.close()

    asyncio.run(main())


def test_a_request_that_is_left_is_aborted_after_it_was_sent() -> None:
    async def main() -> None:
        process = Process()
        engine = VllmEngine(vllm(process), None, asyncio.get_running_loop())
        left = asyncio.create_task(chains_of(engine, 0, "silence", 2))
        await asyncio.sleep(0.05)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert len(await chains_of(engine, 1)) == 3
        assert process.sent[:4] == [
            ("request", "request-0/0"),
            ("request", "request-0/1"),
            ("abort", "request-0/0"),
            ("abort", "request-0/1"),
        ]
        await engine.close()

    asyncio.run(main())


def test_metrics_are_exact() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.chain(1_234_567)
    metrics.finished("200", 0.7)
    metrics.finished("500", 1000.0)
    metrics.refused("429")
    lines = metrics.text().splitlines()
    for line in (
        "nsad_completion_tokens_total 3703701",
        "nsad_chains_total 3",
        'nsad_requests_total{outcome="429"} 1',
        'nsad_request_seconds_bucket{le="0.5"} 0',
        'nsad_request_seconds_bucket{le="1.0"} 1',
        'nsad_request_seconds_bucket{le="+Inf"} 2',
        "nsad_request_seconds_sum 1000.7",
        "nsad_request_seconds_count 2",
    ):
        assert line in lines

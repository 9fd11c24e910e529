"""Engines whose batch concurrent requests share: each yields a request's chains, scored, as they finish."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from nsad_cli.errors import NsadError
from nsad_cli.generation.live_requests import LiveRequest, LiveRequests
from nsad_cli.generation.server import Servers, ServerSampler
from nsad_cli.generation.vllm import VllmSampler
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from nsad_cli.generation.sampler import Sampler, Task
    from nsad_cli.generation.vllm_process import VllmProcess
    from nsad_cli.inference.solver import Ranker
    from nsad_cli.types import Chain, Problem

    Arrivals = asyncio.Queue[Chain | NsadError]


class LiveEngine(Protocol):
    """Samples the chains of requests that arrive at any time."""

    def sample(self, problem: Problem, request: LiveRequest) -> AsyncGenerator[Chain]:
        """Yield the chains of a request as they finish, scored by the ranker; closing the generator cancels the rest.

        Args:
            problem: The problem; its id is the task's `problem_id`, unique among requests.
            request: The requested chains.

        Raises:
            NsadError: The engine failed.
        """

    async def close(self) -> None:
        """Free the engine; no request is in flight."""


def live_engine(sampler: Sampler, ranker: Ranker | None, loop: asyncio.AbstractEventLoop) -> LiveEngine:
    """Return the live form of a sampler, for an event loop; may take long, as vLLM loads the model.

    Raises:
        NsadError: vLLM cannot load the model.
    """
    if isinstance(sampler, VllmSampler):
        return VllmEngine(sampler, ranker, loop)
    if isinstance(sampler, ServerSampler):
        return ServerEngine(sampler, ranker)
    return LocalEngine(sampler.sample_live, ranker, loop)  # type: ignore[attr-defined]  # HFSampler, or its wrapper


def scored(ranker: Ranker | None, problem: Problem, chain: Chain) -> Chain:
    """Return a chain with the ranker's score; without a ranker, unchanged."""
    return chain if ranker is None else chain.scored(ranker.score(problem, [chain])[0])


class LocalEngine:
    """A transformers model in a thread of its own, which also runs the ranker: both use the same adapters.

    Args:
        sample_live: See HFSampler.sample_live.
        ranker: The ranker.
        loop: The event loop of the requests.
    """

    def __init__(
        self,
        sample_live: Callable[[LiveRequests], Iterator[Chain]],
        ranker: Ranker | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._sample_live, self._ranker, self._loop = sample_live, ranker, loop
        self._requests = LiveRequests()
        self._waiting: dict[str, tuple[Problem, Arrivals]] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    async def sample(self, problem: Problem, request: LiveRequest) -> AsyncGenerator[Chain]:
        """See LiveEngine.sample."""
        arrivals: Arrivals = asyncio.Queue()
        self._waiting[problem.id] = (problem, arrivals)
        remaining = len(request.task.indices)
        try:
            self._requests.put(request)
            while remaining:
                chain = await _next(arrivals)
                remaining -= 1
                yield chain
        finally:
            del self._waiting[problem.id]
            if remaining:
                self._requests.cancel(problem.id)

    async def close(self) -> None:
        """See LiveEngine.close."""
        self._requests.close()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._requests.closed:
            try:
                for chain in self._sample_live(self._requests):
                    waiting = self._waiting.get(chain.problem_id)
                    if waiting is not None:  # else it was cancelled meanwhile
                        self._deliver(waiting[1], scored(self._ranker, waiting[0], chain))
            except Exception as error:  # the model's code may raise any exception; later requests may succeed
                logger.warning("the engine failed: %r; its requests fail, and it goes on", error)
                failure = error if isinstance(error, NsadError) else engine_failure(error)
                for _, arrivals in list(self._waiting.values()):
                    self._deliver(arrivals, failure)

    def _deliver(self, arrivals: Arrivals, item: Chain | NsadError) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(arrivals.put_nowait, item)


class VllmEngine:
    """vLLM in a subprocess, whose replies a thread reads; the ranker runs in another one.

    Args:
        sampler: The sampler, whose process is started.
        ranker: The ranker.
        loop: The event loop of the requests.

    Raises:
        NsadError: vLLM cannot load the model.
    """

    def __init__(self, sampler: VllmSampler, ranker: Ranker | None, loop: asyncio.AbstractEventLoop) -> None:
        self._sampler, self._ranker, self._loop = sampler, ranker, loop
        self._scoring = ThreadPoolExecutor(1, "ranker")
        self._waiting: dict[str, tuple[Task, int, Arrivals]] = {}
        self._dead: NsadError | None = None
        self._process: VllmProcess = sampler.started()
        threading.Thread(target=self._read, name="vllm", daemon=True).start()

    async def sample(self, problem: Problem, request: LiveRequest) -> AsyncGenerator[Chain]:
        """See LiveEngine.sample."""
        if self._dead is not None:
            raise self._dead
        arrivals: Arrivals = asyncio.Queue()
        requests = self._sampler.requests(request)
        for index, item in zip(request.task.indices, requests, strict=True):
            self._waiting[item.key] = (request.task, index, arrivals)
        try:
            for item in requests:
                await asyncio.to_thread(self._process.send, item)  # the pipe may be full
            for _ in requests:
                chain = await _next(arrivals)
                yield await self._loop.run_in_executor(self._scoring, scored, self._ranker, problem, chain)
        finally:
            for item in requests:
                if self._waiting.pop(item.key, None) is not None:
                    self._process.abort(item.key)

    async def close(self) -> None:
        """See LiveEngine.close."""
        await asyncio.to_thread(self._sampler.close)
        self._scoring.shutdown(wait=False)

    def _read(self) -> None:
        while True:
            try:
                reply = self._process.receive()
                found = self._waiting.pop(reply["key"], None)
                if found is not None:  # else it was cancelled
                    task, index, arrivals = found
                    self._deliver(arrivals, self._chain(task, index, reply))
            except (NsadError, ValueError, OSError) as error:  # it has ended
                self._dead = error if isinstance(error, NsadError) else engine_failure(error)
                for *_, arrivals in list(self._waiting.values()):
                    self._deliver(arrivals, self._dead)
                return

    def _chain(self, task: Task, index: int, reply: dict[str, object]) -> Chain | NsadError:
        try:
            return self._sampler.chain(task, index, reply)
        except NsadError as error:
            return error

    def _deliver(self, arrivals: Arrivals, item: Chain | NsadError) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(arrivals.put_nowait, item)


class ServerEngine:
    """Servers that batch requests themselves; the ranker runs in a thread.

    Args:
        sampler: The sampler.
        ranker: The ranker.
    """

    def __init__(self, sampler: ServerSampler, ranker: Ranker | None) -> None:
        self._sampler, self._ranker, self._servers = sampler, ranker, Servers(sampler)
        self._scoring = ThreadPoolExecutor(1, "ranker")

    async def sample(self, problem: Problem, request: LiveRequest) -> AsyncGenerator[Chain]:
        """See LiveEngine.sample."""
        loop = asyncio.get_running_loop()
        tasks = [
            asyncio.create_task(self._sampler.request(self._servers, request, index)) for index in request.task.indices
        ]
        try:
            for finished in asyncio.as_completed(tasks):
                chain, _ = await finished
                yield await loop.run_in_executor(self._scoring, scored, self._ranker, problem, chain)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """See LiveEngine.close."""
        await self._servers.close()
        self._scoring.shutdown(wait=False)


async def _next(arrivals: Arrivals) -> Chain:
    item = await arrivals.get()
    if isinstance(item, NsadError):
        raise item
    return item


def engine_failure(error: Exception) -> NsadError:
    """Return the error of a request whose engine raised an unexpected exception."""
    why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return NsadError("the engine failed", why, "send the request again; see the server's log")

"""Engines whose batch concurrent requests share: each yields a request's chains, scored, as they finish."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from nsad_cli.errors import NsadError, first_line
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

    @property
    def failed(self) -> bool:
        """Whether the engine has ended for good."""

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


def failure(error: Exception) -> NsadError:
    """Return an error to deliver to a request: a new one, since the traceback of the first keeps a batch's memory."""
    if isinstance(error, NsadError):
        return NsadError(error.what, error.why, error.fix)
    return NsadError("the engine failed", f"{type(error).__name__}: {first_line(error)}", "send the request again")


class _Deliveries:
    """Delivers chains and errors from the engine's thread to the requests of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def put(self, arrivals: Arrivals, item: Chain | NsadError) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(arrivals.put_nowait, item)


class LocalEngine:
    """A transformers model in a thread of its own, which also runs the ranker: both use the same adapters.

    Args:
        sample_live: See HFSampler.sample_live.
        ranker: The ranker.
        loop: The event loop of the requests.
    """

    failed = False
    """An error ends the requests in flight; the engine goes on with a new batch."""

    def __init__(
        self,
        sample_live: Callable[[LiveRequests], Iterator[Chain]],
        ranker: Ranker | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._sample_live, self._ranker = sample_live, ranker
        self._deliveries, self._requests = _Deliveries(loop), LiveRequests()
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
                    self._pass_on(chain)
            except Exception as error:  # the model's code may raise any exception; later requests may succeed
                logger.warning("the engine failed, and with it the requests in flight: %r", error)
                for _, arrivals in list(self._waiting.values()):
                    self._deliveries.put(arrivals, failure(error))

    def _pass_on(self, chain: Chain) -> None:
        """Score a chain and deliver it to its request."""
        waiting = self._waiting.get(chain.problem_id)
        if waiting is None:  # it was cancelled meanwhile
            return
        problem, arrivals = waiting
        try:
            self._deliveries.put(arrivals, scored(self._ranker, problem, chain))
        except Exception as error:  # of the ranker; other requests go on
            logger.warning("the ranker failed: %r", error)
            self._deliveries.put(arrivals, failure(error))


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
        self._sampler, self._ranker, self._loop, self._deliveries = sampler, ranker, loop, _Deliveries(loop)
        self._scoring = ThreadPoolExecutor(1, "scoring")
        self._sending = ThreadPoolExecutor(1, "vllm-requests")  # one thread, so that no abort overtakes its request
        self._waiting: dict[str, tuple[Task, int, Arrivals]] = {}
        self._end: NsadError | None = None
        self._process: VllmProcess = sampler.started()
        threading.Thread(target=self._read, name="vllm-replies", daemon=True).start()

    @property
    def failed(self) -> bool:
        """See LiveEngine.failed."""
        return self._end is not None

    async def sample(self, problem: Problem, request: LiveRequest) -> AsyncGenerator[Chain]:
        """See LiveEngine.sample."""
        arrivals: Arrivals = asyncio.Queue()
        requests = self._sampler.requests(request)
        for index, item in zip(request.task.indices, requests, strict=True):
            self._waiting[item.key] = (request.task, index, arrivals)
        try:
            if self._end is not None:  # checked once the requests are registered: the reader tells those that it finds
                raise failure(self._end)
            for item in requests:
                self._sending.submit(self._process.send, item)
            for _ in requests:
                chain = await _next(arrivals)
                yield await self._loop.run_in_executor(self._scoring, scored, self._ranker, problem, chain)
        finally:
            for item in requests:
                if self._waiting.pop(item.key, None) is not None:
                    self._sending.submit(self._process.abort, item.key)

    async def close(self) -> None:
        """See LiveEngine.close."""
        self._sending.shutdown(wait=False, cancel_futures=True)
        self._scoring.shutdown(wait=False)
        await asyncio.to_thread(self._sampler.close)

    def _read(self) -> None:
        while self._end is None:
            try:
                reply = self._process.receive()
                found = self._waiting.pop(reply["key"], None)
            except Exception as error:  # vLLM has ended, or its reply is none
                self._end = failure(error)
                logger.warning("vLLM has ended: %s", first_line(error))
                for *_, arrivals in list(self._waiting.values()):
                    self._deliveries.put(arrivals, failure(self._end))
            else:
                if found is not None:  # else it was cancelled
                    self._pass_on(*found, reply)

    def _pass_on(self, task: Task, index: int, arrivals: Arrivals, reply: dict[str, object]) -> None:
        try:
            self._deliveries.put(arrivals, self._sampler.chain(task, index, reply))
        except Exception as error:  # a malformed reply
            self._deliveries.put(arrivals, failure(error))


class ServerEngine:
    """Servers that batch requests themselves; the ranker runs in a thread.

    Args:
        sampler: The sampler.
        ranker: The ranker.
    """

    failed = False
    """A server that is down may come back."""

    def __init__(self, sampler: ServerSampler, ranker: Ranker | None) -> None:
        self._sampler, self._ranker, self._servers = sampler, ranker, Servers(sampler)
        self._scoring = ThreadPoolExecutor(1, "scoring")

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

"""The workers of one call of OpenAITeacher.draw: they send requests to servers, retry, and pass draws on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.teachers.openai_chat import MAX_SAMPLES_PER_REQUEST, ChatModel, draws_of, usage_of
from nsad_cli.teachers.openai_failures import FailureClassifier, PermanentError, RetryError, SingleSamplesOnlyError
from nsad_cli.teachers.openai_servers import Server, Servers
from nsad_cli.utils.rate_limit import MAX_RETRIES, backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nsad_cli.teachers.base import Request
    from nsad_cli.types import Draw, Problem


class RequestWorkers:
    """One worker for each request that may be in flight; see `run`."""

    def __init__(
        self,
        teacher: ChatModel,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        self.teacher, self.settings = teacher, teacher.settings
        self.requests, self.on_draws, self.on_failure = iter(requests), on_draws, on_failure
        self.pending: deque[Request] = deque()
        """Requests, or parts of them, that were taken but are not in flight."""
        self.idle: set[asyncio.Task[None] | None] = set()
        """Workers without a request in flight: cancelling them loses nothing."""
        self.workers = 0
        self.interrupted = False

    async def run(self) -> None:
        """Answer every request.

        Raises:
            NsadError: An error that concerns all requests.
            KeyboardInterrupt: After an interrupt, when the replies in flight have arrived.
        """
        self.servers = Servers(self.teacher)
        self.failures = FailureClassifier(self.teacher, self.servers)
        try:
            with self._interruptible():
                async with asyncio.TaskGroup() as self.group:
                    self._start_workers()
        except* Exception as errors:
            known = errors.subgroup(NsadError)
            error = _first(known or errors)
            if known is not None:
                raise error from None
            raise NsadError(
                f"requests to the teacher `{self.teacher.name}` failed",
                f"{type(error).__name__}: {self.teacher.scrub(error)}",
                "draws that arrived are stored; run it again with --debug and report the output",
            ) from error
        finally:
            await self.servers.close()
        if self.interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Handle Ctrl-C and SIGTERM.

        After the first one no more requests are sent, but replies in flight, which are charged for, are awaited. The
        second one stops immediately.
        """
        loop, main = asyncio.get_running_loop(), asyncio.current_task()
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a shell
            yield
            return

        def interrupt() -> None:
            if self.interrupted and main is not None:
                main.cancel()
            self.interrupted, self.requests = True, iter(())
            self.pending.clear()
            for worker in self.idle:
                if worker is not None:
                    worker.cancel()

        before = signal.getsignal(signal.SIGTERM)
        try:
            loop.add_signal_handler(signal.SIGINT, interrupt)
            loop.add_signal_handler(signal.SIGTERM, interrupt)
        except (ValueError, RuntimeError, NotImplementedError):  # not the main thread, or Windows: asyncio's handling
            yield
            return
        try:
            yield
        except asyncio.CancelledError:
            if self.interrupted:
                raise KeyboardInterrupt from None
            raise
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)

    def _start_workers(self) -> None:
        """Start workers until there are as many as requests may be in flight, or no more requests."""
        while self.workers < self.settings.concurrency and (request := self._next()) is not None:
            self.workers += 1
            self.group.create_task(self._work(request))

    async def _work(self, request: Request | None) -> None:
        while request is not None:
            await self._answer(request)
            self._start_workers()  # draws missing in this reply are pending again
            request = self._next()
        self.workers -= 1

    def _next(self) -> Request | None:
        """Take the next request, with no more draws than one request to a server may ask for."""
        if not self.pending and (request := next(self.requests, None)) is not None:
            self.pending.append(request)
        if not self.pending:
            return None
        request = self.pending.popleft()
        size = MAX_SAMPLES_PER_REQUEST if self.teacher.supports_n else 1
        if rest := request.indices[size:]:
            self.pending.appendleft(replace(request, indices=rest))
        return replace(request, indices=request.indices[:size])

    async def _answer(self, request: Request) -> None:
        """Send a request until there is a reply, the attempts are used up, or the budget allows no further one."""
        problem, numbers, worker = request.problem, request.indices, asyncio.current_task()
        attempt, reason = 0, ""
        while attempt <= MAX_RETRIES and not self.interrupted:
            self.idle.add(worker)
            try:
                draws = await self._send(self.servers.least_busy(), problem, numbers, attempt)
            except RetryError as error:
                self.idle.add(worker)
                reason = error.reason
                if error.paid and not request.may_retry(len(numbers), error.usage):
                    return
                if error.wait and not self.interrupted:
                    await asyncio.sleep(backoff(attempt))
                attempt += error.counts
            except SingleSamplesOnlyError:
                self.teacher.supports_n = False
                self.pending.append(request)
                return
            except PermanentError as error:
                self.on_failure(problem, str(error))
                return
            else:
                self.on_draws(draws)
                if (rest := numbers[len(draws) :]) and not self.interrupted and request.may_retry(0, (0, 0)):
                    self.teacher.supports_n = self.teacher.supports_n and len(draws) > 1
                    self.pending.append(replace(request, indices=rest))
                return
        if not self.interrupted:
            self.on_failure(problem, f"{reason}, after {attempt} attempts")

    async def _send(self, server: Server, problem: Problem, numbers: tuple[int, ...], attempt: int) -> list[Draw]:
        """Send one request and read its draws, which may be fewer than requested; see FailureClassifier for errors."""
        import openai

        params, body = dict(self.teacher.request_params), self.teacher.body(problem, len(numbers))
        prompt_bytes = sum(len(message["content"].encode()) for message in body["messages"])
        async with server.limiter.request(prompt_bytes / 4 + self.settings.max_tokens * len(numbers)):
            self.idle.discard(asyncio.current_task())
            try:
                reply = await server.client.chat.completions.create(**body)
                draws = draws_of(reply, self.teacher.name, problem.id, numbers)
            except (openai.OpenAIError, ValueError) as error:  # ValueError: a body that is not JSON
                raise self.failures.classify(error, server, len(numbers), params, attempt) from None
        if not draws:
            raise RetryError("an empty reply", wait=False, paid=True, usage=usage_of(reply))
        self.servers.record_answer(server)
        return draws


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

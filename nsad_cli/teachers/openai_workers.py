"""The workers of one call of OpenAITeacher.draw: they send requests to servers, retry, and pass draws on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, first_line
from nsad_cli.teachers.arrivals import Arrivals
from nsad_cli.teachers.openai_chat import MAX_SAMPLES_PER_REQUEST, ChatModel
from nsad_cli.teachers.openai_client import ConnectionFailedError, StatusError
from nsad_cli.teachers.openai_failures import FailureClassifier, PermanentError, RetryError, SingleSamplesOnlyError
from nsad_cli.teachers.openai_replies import draws_of
from nsad_cli.teachers.openai_servers import Server, Servers
from nsad_cli.utils.logs import note
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
        self.arrivals = Arrivals(on_draws, teacher.settings.concurrency)
        self.interrupted = self.stopped = False
        self.error: Exception | None = None
        """The error that concerns all requests, if there is one."""

    async def run(self) -> None:
        """Answer every request.

        After an error that concerns all requests no more are sent; replies in flight, which are charged for, are
        awaited and stored before it is raised.

        Raises:
            NsadError: An error that concerns all requests.
            KeyboardInterrupt: After an interrupt, when the replies in flight have arrived.
        """
        self.servers = Servers(self.teacher)
        self.failures = FailureClassifier(self.teacher, self.servers)
        try:
            with self._interruptible():
                async with asyncio.TaskGroup() as self.group:
                    try:
                        self._start_workers()
                    except Exception as error:
                        self._stop(error)
        finally:
            try:
                self.arrivals.store()
            except NsadError as error:
                self.error = self.error or error
            await self.servers.close()
        if isinstance(self.error, NsadError):
            raise self.error
        if self.error is not None:
            raise NsadError(
                f"requests to the teacher `{self.teacher.name}` failed",
                f"{type(self.error).__name__}: {self.teacher.scrub(self.error)}",
                "draws that arrived are stored; run it again with --debug and report the output",
            ) from self.error
        if self.interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Handle Ctrl-C and SIGTERM.

        After the first one no more requests are sent, but replies in flight, which are charged for, are awaited. The
        second one stops immediately.
        """
        loop, main = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            if self.interrupted and main is not None:
                main.cancel()
            self.interrupted = True
            self._send_no_more()

        before = signal.getsignal(signal.SIGTERM)
        try:
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in a background job of a shell
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

    def _stop(self, error: Exception) -> None:
        """Send no more requests because of an error that concerns all of them."""
        if self.error is None and (in_flight := self.servers.waiting_for):
            requests = "request" if in_flight == 1 else "requests"
            note(
                f"no more requests are sent ({first_line(error)}); waiting for {in_flight} {requests} in flight, "
                f"{self.settings.timeout:.0f} s at most"
            )
        self.error = self.error or error
        self._send_no_more()

    def _send_no_more(self) -> None:
        """Drop the requests that are not in flight, and end the workers that wait to send one."""
        self.stopped, self.requests = True, iter(())
        self.pending.clear()
        for worker in self.idle - {asyncio.current_task()}:
            if worker is not None:
                worker.cancel()

    def _start_workers(self) -> None:
        """Start workers until there are as many as requests may be in flight, or no more requests."""
        while self.workers < self.settings.concurrency and (request := self._next()) is not None:
            self.workers += 1
            self.group.create_task(self._work(request))

    async def _work(self, request: Request | None) -> None:
        try:
            while request is not None:
                await self._answer(request)
                self._start_workers()  # draws missing in this reply are pending again
                request = self._next()
        except Exception as error:  # raised by `run` when the other workers' replies have arrived
            self._stop(error)
        finally:
            self.workers -= 1
            self.idle.discard(asyncio.current_task())

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
        while attempt <= MAX_RETRIES and not self.stopped:
            self.idle.add(worker)
            server = self.servers.least_busy()
            try:
                draws = await self._send(server, problem, numbers, attempt)
            except RetryError as error:
                self.idle.add(worker)
                reason = error.reason
                if error.paid and not request.may_retry(len(numbers), error.usage):
                    return
                if error.wait and not self.stopped:
                    server.note_wait(seconds := backoff(attempt), reason)
                    await asyncio.sleep(seconds)
                attempt += error.counts
                if attempt > error.max_retries:
                    break
            except SingleSamplesOnlyError:
                self.teacher.supports_n = False
                self.pending.append(request)
                return
            except PermanentError as error:
                self.on_failure(problem, str(error))
                return
            else:
                await self.arrivals.stored(draws)
                if (rest := numbers[len(draws) :]) and not self.stopped and request.may_retry(0, (0, 0)):
                    self.teacher.supports_n = self.teacher.supports_n and len(draws) > 1
                    self.pending.append(replace(request, indices=rest))
                return
        if not self.stopped:
            self.on_failure(problem, f"{reason}, after {attempt} attempts" if attempt > 1 else reason)

    async def _send(self, server: Server, problem: Problem, numbers: tuple[int, ...], attempt: int) -> list[Draw]:
        """Send one request and read its draws, which may be fewer than requested; see FailureClassifier for errors."""
        params, body = dict(self.teacher.request_params), self.teacher.body(problem, len(numbers))
        prompt_bytes = sum(len(message["content"].encode()) for message in body["messages"])
        async with server.limiter.request(prompt_bytes / 4 + self.settings.max_tokens * len(numbers)):
            if not await server.usable():
                raise self.failures.unusable(server)
            if server not in self.servers.reachable:
                raise RetryError("the server was dropped meanwhile", wait=False, counts=False)
            self.idle.discard(asyncio.current_task())
            try:
                with server.request_in_flight():
                    reply = await server.client.complete(body)
                    self.teacher.note_usage(reply)
                    draws = draws_of(reply, self.teacher.name, problem.id, numbers)
                    if draws:
                        self.servers.record_answer(server)
                        return draws
                    raise self.failures.without_draws(reply, server)
            except (StatusError, ConnectionFailedError, ValueError) as error:  # ValueError: a body that is not JSON
                raise self.failures.classify(error, server, len(numbers), params, attempt) from None

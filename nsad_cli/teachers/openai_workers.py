"""One call of OpenAITeacher.draw: workers that take requests, ask servers, and hand over what arrives."""

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
    """Workers for as many requests as may be under way; see `run`."""

    def __init__(
        self,
        teacher: ChatModel,
        requests: Iterable[Request],
        keep: Callable[[list[Draw]], None],
        fail: Callable[[Problem, str], None],
    ) -> None:
        self.teacher, self.settings = teacher, teacher.settings
        self.requests, self.keep, self.fail = iter(requests), keep, fail
        self.waiting: deque[Request] = deque()
        self.idle: set[asyncio.Task[None] | None] = set()
        """Workers without a request under way: nothing is lost with them."""
        self.workers = 0
        self.interrupted = False

    async def run(self) -> None:
        """Answer every request."""
        self.servers = Servers(self.teacher)
        self.failures = FailureClassifier(self.teacher, self.servers)
        try:
            with self._interruptible():
                async with asyncio.TaskGroup() as self.group:
                    self._hire()
        except* Exception as errors:
            told = errors.subgroup(NsadError)
            error = _first(told or errors)
            if told is not None:
                raise error from None
            raise NsadError(
                f"the teacher `{self.teacher.name}` cannot be asked",
                f"{type(error).__name__}: {self.teacher.scrub(error)}",
                "draws that arrived are kept; run it again with --debug and report what it shows",
            ) from error
        finally:
            await self.servers.close()
        if self.interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM asks for nothing more and waits for replies that are paid already; the second
        one does not.
        """
        loop, main = asyncio.get_running_loop(), asyncio.current_task()
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job
            yield
            return

        def interrupt() -> None:
            if self.interrupted and main is not None:
                main.cancel()
            self.interrupted, self.requests = True, iter(())
            self.waiting.clear()
            for worker in self.idle:
                if worker is not None:
                    worker.cancel()

        before = signal.getsignal(signal.SIGTERM)
        try:
            loop.add_signal_handler(signal.SIGINT, interrupt)
            loop.add_signal_handler(signal.SIGTERM, interrupt)
        except (ValueError, RuntimeError, NotImplementedError):  # no main thread, or Windows: asyncio's own way
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

    def _hire(self) -> None:
        """Have as many workers as requests may be under way, or as there is work for."""
        while self.workers < self.settings.concurrency and (job := self._next()) is not None:
            self.workers += 1
            self.group.create_task(self._work(job))

    async def _work(self, job: Request | None) -> None:
        while job is not None:
            await self._answer(job)
            self._hire()  # others may take up what this reply lacked
            job = self._next()
        self.workers -= 1

    def _next(self) -> Request | None:
        """The next draws of one problem to ask for in one request."""
        if not self.waiting and (request := next(self.requests, None)) is not None:
            self.waiting.append(request)
        if not self.waiting:
            return None
        request = self.waiting.popleft()
        size = MAX_SAMPLES_PER_REQUEST if self.teacher.many else 1
        if rest := request.indices[size:]:
            self.waiting.appendleft(replace(request, indices=rest))
        return replace(request, indices=request.indices[:size])

    async def _answer(self, request: Request) -> None:
        """Ask until there is a reply, no hope of one, or no money for another try."""
        problem, numbers, worker = request.problem, request.indices, asyncio.current_task()
        attempt, why = 0, ""
        while attempt <= MAX_RETRIES and not self.interrupted:
            self.idle.add(worker)
            try:
                draws = await self._ask(self.servers.least_busy(), problem, numbers, attempt)
            except RetryError as again:
                self.idle.add(worker)
                why = again.reason
                if again.paid and not request.again(len(numbers), again.usage):
                    return
                if again.wait and not self.interrupted:
                    await asyncio.sleep(backoff(attempt))
                attempt += again.counts
            except SingleSamplesOnlyError:
                self.teacher.many = False
                self.waiting.append(request)
                return
            except PermanentError as lost:
                self.fail(problem, str(lost))
                return
            else:
                self.keep(draws)
                if (rest := numbers[len(draws) :]) and not self.interrupted and request.again(0, (0, 0)):
                    self.teacher.many = self.teacher.many and len(draws) > 1
                    self.waiting.append(replace(request, indices=rest))
                return
        if not self.interrupted:
            self.fail(problem, f"{why}, asked {attempt} times")

    async def _ask(self, server: Server, problem: Problem, numbers: tuple[int, ...], attempt: int) -> list[Draw]:
        """The draws of one reply, fewer than asked for perhaps; what concerns every draw is raised as NsadError."""
        import openai

        sent, body = dict(self.teacher.sent), self.teacher.body(problem, len(numbers))
        prompt = sum(len(message["content"].encode()) for message in body["messages"])
        async with server.limiter.request(prompt / 4 + self.settings.max_tokens * len(numbers)):
            self.idle.discard(asyncio.current_task())
            try:
                reply = await server.client.chat.completions.create(**body)
                draws = draws_of(reply, self.teacher.name, problem.id, numbers)
            except (openai.OpenAIError, ValueError) as error:  # ValueError: a body that is no JSON
                raise self.failures.classify(error, server, len(numbers), sent, attempt) from None
        if not draws:
            raise RetryError("an empty reply", wait=False, paid=True, usage=usage_of(reply))
        self.servers.record_answer(server)
        return draws


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

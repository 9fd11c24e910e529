"""One call of OpenAITeacher.draw: workers that take requests, ask servers, and hand over what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.teachers.openai_chat import MAX_SAMPLES_PER_REQUEST, ChatModel, draws_of, usage_of
from nsad_cli.utils.api_keys import CONNECTION_ERRORS
from nsad_cli.utils.rate_limit import MAX_RETRIES, RateLimiter, backoff, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nsad_cli.teachers.base import Request, Usage
    from nsad_cli.types import Draw, Problem

REFUSAL_TIMEOUT_SECONDS = 600.0
"""Seconds without any answer after which a server that says 429 is believed."""
MAX_INVALID_REPLIES = 2
"""Attempts after which a server that has never answered properly is taken for something else."""


@dataclass
class _Server:
    """One base URL: its client and pace, and whether it can be reached."""

    client: Any
    pace: RateLimiter
    answered: bool = False
    misses: int = 0
    """Connections in a row that it has not taken."""


class _RetryError(Exception):
    """This reply is lost, another attempt may not be; `wait`: whether to let a while pass first.

    paid: whether it may have been charged for, with its usage where that is known.
    """

    def __init__(
        self, why: str, *, wait: bool = True, counts: bool = True, paid: bool = False, usage: Usage = None
    ) -> None:
        super().__init__(why)
        self.why, self.wait, self.counts, self.paid, self.usage = why, wait, counts, paid, usage


class _PermanentError(Exception):
    """No further attempt will help."""


class _SingleSamplesOnlyError(Exception):
    """The server refuses a request for several draws: perhaps it does not know `n`."""


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
        self.servers: list[_Server] = []
        self.workers = 0
        self.last_answer = 0.0
        self.interrupted = False

    async def run(self) -> None:
        """Answer every request."""
        from openai import AsyncOpenAI, DefaultAioHttpClient

        settings = self.settings
        urls: list[str | None] = [*settings.base_url] or [None]
        self.servers = [
            _Server(
                AsyncOpenAI(
                    api_key=self.teacher.key or "none",
                    base_url=url,
                    max_retries=0,  # ours slow all requests down, not the one that was refused alone
                    timeout=settings.timeout,
                    http_client=DefaultAioHttpClient(),
                ),
                RateLimiter(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute),
            )
            for url in urls
        ]
        clients = [server.client for server in self.servers]
        self.last_answer = asyncio.get_running_loop().time()
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
            for client in clients:
                await client.close()
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
                draws = await self._ask(self._least_busy(), problem, numbers, attempt)
            except _RetryError as again:
                self.idle.add(worker)
                why = again.why
                if again.paid and not request.again(len(numbers), again.usage):
                    return
                if again.wait and not self.interrupted:
                    await asyncio.sleep(backoff(attempt))
                attempt += again.counts
            except _SingleSamplesOnlyError:
                self.teacher.many = False
                self.waiting.append(request)
                return
            except _PermanentError as lost:
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

    def _least_busy(self) -> _Server:
        return min(self.servers, key=lambda server: (server.misses, server.pace.under_way))

    async def _ask(self, server: _Server, problem: Problem, numbers: tuple[int, ...], attempt: int) -> list[Draw]:
        """The draws of one reply, fewer than asked for perhaps; what concerns every draw is raised as NsadError."""
        import openai

        sent, body = dict(self.teacher.sent), self.teacher.body(problem, len(numbers))
        prompt = sum(len(message["content"].encode()) for message in body["messages"])
        async with server.pace.request(prompt / 4 + self.settings.max_tokens * len(numbers)):
            self.idle.discard(asyncio.current_task())
            try:
                reply = await server.client.chat.completions.create(**body)
                draws = draws_of(reply, self.teacher.name, problem.id, numbers)
            except (openai.OpenAIError, ValueError) as error:  # ValueError: a body that is no JSON
                raise self._judged(error, server, numbers, sent, attempt) from None
        if not draws:
            raise _RetryError("an empty reply", wait=False, paid=True, usage=usage_of(reply))
        server.answered, server.misses = True, 0
        server.pace.answered()
        self.last_answer = asyncio.get_running_loop().time()
        return draws

    def _judged(
        self, error: Exception, server: _Server, numbers: tuple[int, ...], sent: dict[str, Any], attempt: int
    ) -> Exception:
        """What a failed request means: for this attempt, for these draws, or (NsadError) for all of them."""
        import openai

        teacher, where = self.teacher, server.client.base_url
        said = teacher.scrub(error)
        if isinstance(error, openai.BadRequestError):
            if teacher.give_way(error, sent):
                return _RetryError(said, wait=False)
            return _SingleSamplesOnlyError() if len(numbers) > 1 else _PermanentError(said)
        if isinstance(error, openai.AuthenticationError):
            return NsadError(
                f"{where} refused the API key",
                "the server answered 401",
                f"check the variable {self.settings.api_key_env}",
            )
        if isinstance(error, openai.NotFoundError):
            return NsadError(
                f"{where} does not know the model `{teacher.name}`", said, "check --teacher and --base-url"
            )
        if isinstance(error, openai.RateLimitError):
            return self._refused(error, server, said)
        if isinstance(error, openai.APIConnectionError):
            return self._unconnected(error, server, said)
        if isinstance(error, openai.APIStatusError):
            if error.status_code == 503 and retry_after(error.response.headers):
                return self._refused(error, server, said)
            passing = error.status_code >= 500 or error.status_code in (408, 409)
            return _RetryError(said) if passing else _PermanentError(said)
        if not server.answered and attempt == MAX_INVALID_REPLIES:
            return NsadError(f"what {where} answers is no chat completion", said, "check --base-url (most end in /v1)")
        return _RetryError(said, paid=True)

    def _refused(self, error: Any, server: _Server, said: str) -> Exception:
        """After 429 (or 503 with a time to wait): slow down, as often as it takes while anything is answered at all."""
        if error.code == "insufficient_quota":
            return NsadError(
                f"{server.client.base_url} answers no more: the account's quota is used up",
                said,
                "add credit, and run the same command again: draws that arrived are kept",
            )
        if asyncio.get_running_loop().time() - self.last_answer > REFUSAL_TIMEOUT_SECONDS:
            return _PermanentError(
                f"nothing but refusals ({error.status_code}) for {REFUSAL_TIMEOUT_SECONDS / 60:.0f} minutes: {said}"
            )
        server.pace.refused(error.response.headers)
        return _RetryError(said, wait=False, counts=False)

    def _unconnected(self, error: Any, server: _Server, said: str) -> Exception:
        """After a broken, refused or timed-out connection; a server that takes none is left alone."""
        import openai

        cause = error.__cause__
        if type(cause).__name__ not in CONNECTION_ERRORS:
            slow = isinstance(error, openai.APITimeoutError)
            return _RetryError(
                f"no answer within {self.settings.timeout:.0f} s" if slow else said, wait=not slow, paid=True
            )
        server.misses += 1
        if server.misses <= MAX_RETRIES:
            return _RetryError(said, wait=len(self.servers) == 1, counts=len(self.servers) == 1)
        if server in self.servers:
            self.servers.remove(server)
        if self.servers:
            return _RetryError(said, wait=False, counts=False)
        return NsadError(
            f"cannot reach {server.client.base_url}",
            self.teacher.scrub(cause or error),
            "check --base-url and that the server runs; draws that arrived are kept",
        )


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

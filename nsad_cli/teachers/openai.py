"""A teacher behind an OpenAI-compatible API: OpenAI itself, or any server by its base URL."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

from nsad_cli.config import TeacherConfig
from nsad_cli.errors import NsadError
from nsad_cli.teachers.base import Request
from nsad_cli.types import Draw, Finish, Problem

RETRIES = 6
"""The client's own, with exponential backoff and Retry-After, on 408, 409, 429, 5xx and broken connections."""
TIMEOUT = 300.0
FINISHES = {"length": Finish.LENGTH, "content_filter": Finish.FILTERED}


class OpenAITeacher:
    """One request a draw, `concurrency` at a time, spread over the base URLs in turn."""

    def __init__(self, model: str, settings: TeacherConfig) -> None:
        self.name = model
        self._settings = settings
        self.params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "prompt": settings.prompt,
        }
        self._key = (os.environ.get(settings.api_key_env) or "").strip() or None
        if self._key is not None and not (self._key.isascii() and self._key.isprintable()):
            raise NsadError(
                f"the API key for the teacher `{model}` is not one",
                f"the variable {settings.api_key_env} holds characters that no key has (a quotation mark, a line end)",
                f"export {settings.api_key_env}=… again, the key alone",
            )
        self._sent: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            # OpenAI's newer models know only the longer name, many servers only the older one.
            "max_tokens" if settings.base_url else "max_completion_tokens": settings.max_tokens,
        }
        if self._key is None and not settings.base_url:
            raise NsadError(
                f"no API key for the teacher `{model}`",
                f"the variable {settings.api_key_env} is not set",
                f"export {settings.api_key_env}=…, or name a server of your own with --base-url",
            )

    def problems(self) -> list[Problem] | None:
        """None: any problem may be asked."""
        return None

    def draw(
        self, requests: Sequence[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw.

        Raises NsadError for a refused key, an unknown model, or a server that cannot be reached.
        """
        asyncio.run(self._draw_all(requests, keep, fail))

    async def _draw_all(
        self, requests: Sequence[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        urls: list[str | None] = [*self._settings.base_url] or [None]
        clients = [
            AsyncOpenAI(
                api_key=self._key or "none",
                base_url=url,
                max_retries=RETRIES,
                timeout=TIMEOUT,
                http_client=DefaultAioHttpClient(),
            )
            for url in urls
        ]
        live = list(clients)
        turn = itertools.count()
        waiting = iter([(request.problem, index) for request in requests for index in request.indices])

        async def work() -> None:
            for problem, index in waiting:
                if not live:
                    return
                client = live[next(turn) % len(live)]
                try:
                    outcome = await self._ask(client, problem, index)
                except _Unreachable as error:
                    if client in live:
                        live.remove(client)
                    if not live:
                        raise error.told from None
                    fail(problem, error.told.what)
                    continue
                if isinstance(outcome, Draw):
                    keep([outcome])
                else:
                    fail(problem, outcome)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.concurrency):
                    group.create_task(work())
        except* Exception as errors:
            told = errors.subgroup(NsadError)
            error = _first(told or errors)
            if told is not None:
                raise error from None
            raise NsadError(
                f"the teacher `{self.name}` cannot be asked",
                f"{type(error).__name__}: {self._scrub(error)}",
                "check --base-url (most end in /v1); draws that arrived are kept",
            ) from None
        finally:
            for client in clients:
                await client.close()

    async def _ask(self, client: Any, problem: Problem, index: int) -> Draw | str:
        """A draw, or why this one is lost; what concerns every draw is raised."""
        import openai

        settings, sent = self._settings, dict(self._sent)
        try:
            reply = await client.chat.completions.create(
                model=self.name,
                messages=[{"role": "user", "content": settings.prompt.replace("{question}", problem.question)}],
                **sent,
            )
        except openai.BadRequestError as error:
            if self._give_way(error, sent):
                return await self._ask(client, problem, index)
            return self._scrub(error)
        except openai.AuthenticationError:
            raise NsadError(
                f"{client.base_url} refused the API key",
                "the server answered 401",
                f"check the variable {settings.api_key_env}",
            ) from None
        except openai.NotFoundError as error:
            raise NsadError(
                f"{client.base_url} does not know the model `{self.name}`",
                self._scrub(error),
                "check --teacher and --base-url",
            ) from None
        except openai.APIConnectionError as error:
            # A refused connection comes as a timeout of connecting; a slow answer costs its own draw alone.
            if isinstance(error, openai.APITimeoutError) and type(error.__cause__).__name__ != "ConnectTimeout":
                return f"no answer within {TIMEOUT:.0f} s, asked {RETRIES + 1} times"
            raise _Unreachable(
                NsadError(
                    f"cannot reach {client.base_url}",
                    self._scrub(error.__cause__ or error),
                    "check --base-url and that the server runs; draws that arrived are kept",
                )
            ) from None
        except openai.OpenAIError as error:
            return self._scrub(error)
        choice = reply.choices[0] if reply.choices else None
        if choice is None or (not choice.message.content and choice.finish_reason not in FINISHES):
            return "an empty reply"
        usage = reply.usage
        return Draw(
            problem.id,
            self.name,
            index,
            choice.message.content or "",
            FINISHES.get(choice.finish_reason, Finish.STOP),
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
        )

    def _give_way(self, error: Any, sent: dict[str, Any]) -> bool:
        """Whether to ask again: a model that does not know a parameter gets its newer name, or does without a default.

        Raises NsadError for a value that the model does not take.
        """
        name = error.param
        if name not in sent:
            return False
        if error.code == "unsupported_value":
            raise NsadError(
                f"the model `{self.name}` does not take this {name}",
                self._scrub(error),
                f"set teacher.{name} to what it takes, most often 1",
            ) from None
        if error.code != "unsupported_parameter":
            return False
        if name == "max_tokens":
            if "max_tokens" in self._sent:  # else another request has renamed it meanwhile
                self._sent["max_completion_tokens"] = self._sent.pop("max_tokens")
            return True
        if name == "top_p" and self._settings.top_p == 1:
            self._sent.pop("top_p", None)
            return True
        return False

    def _scrub(self, error: BaseException) -> str:
        """The error's text without the key, in one line."""
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self._key, "***")[:300] if self._key else text[:300]


class _Unreachable(Exception):
    """One server cannot be reached; others may."""

    def __init__(self, told: NsadError) -> None:
        super().__init__(str(told))
        self.told = told


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

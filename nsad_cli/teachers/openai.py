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
        self._key = os.environ.get(settings.api_key_env) or None
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
        turns = itertools.cycle(clients)
        waiting = iter([(request.problem, index) for request in requests for index in request.indices])

        async def work() -> None:
            for problem, index in waiting:
                outcome = await self._ask(next(turns), problem, index)
                if isinstance(outcome, Draw):
                    keep([outcome])
                else:
                    fail(problem, outcome)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.concurrency):
                    group.create_task(work())
        except* NsadError as errors:
            raise _first(errors) from None
        finally:
            for client in clients:
                await client.close()

    async def _ask(self, client: Any, problem: Problem, index: int) -> Draw | str:
        """A draw, or why this one is lost; what concerns every draw is raised."""
        import openai

        settings = self._settings
        try:
            reply = await client.chat.completions.create(
                model=self.name,
                messages=[{"role": "user", "content": settings.prompt.replace("{question}", problem.question)}],
                temperature=settings.temperature,
                top_p=settings.top_p,
                max_tokens=settings.max_tokens,
            )
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
            raise NsadError(
                f"cannot reach {client.base_url}",
                self._scrub(error.__cause__ or error),
                "check --base-url and that the server runs; draws that arrived are kept",
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

    def _scrub(self, error: BaseException) -> str:
        """The error's text without the key, in one line."""
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self._key, "***")[:300] if self._key else text[:300]


def _first(group: BaseExceptionGroup[NsadError]) -> NsadError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, NsadError)
    return error

"""A teacher behind an OpenAI-compatible API: OpenAI itself, or any server by its base URL."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nsad_cli.config import TeacherConfig
from nsad_cli.errors import NsadError
from nsad_cli.prompts import shown, turns
from nsad_cli.teachers.base import Request
from nsad_cli.types import Draw, Finish, Problem

AT_ONCE = 16
"""Draws of one problem in one request, at most: a reply that is lost loses them all."""
FINISHES = {"length": Finish.LENGTH, "content_filter": Finish.FILTERED}


class OpenAITeacher:
    """Asks `concurrency` requests at a time, each of the server with the fewest under way; see `pace` for limits.

    Draws of one problem share a request (`n`) where the server can: the prompt is then paid once.
    """

    def __init__(self, model: str, settings: TeacherConfig) -> None:
        self.name = model
        self.settings = settings
        self.many = True
        """Whether the server knows `n`; found out by asking."""
        self.params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "prompt": settings.prompt,
            **shown(settings),
        }
        self.key = (os.environ.get(settings.api_key_env) or "").strip() or None
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise NsadError(
                f"the API key for the teacher `{model}` is not one",
                f"the variable {settings.api_key_env} holds characters that no key has (a quotation mark, a line end)",
                f"export {settings.api_key_env}=… again, the key alone",
            )
        self.sent: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            # OpenAI's newer models know only the longer name, many servers only the older one.
            "max_tokens" if settings.base_url else "max_completion_tokens": settings.max_tokens,
        }
        if self.key is None and not settings.base_url:
            raise NsadError(
                f"no API key for the teacher `{model}`",
                f"the variable {settings.api_key_env} is not set",
                f"export {settings.api_key_env}=…, or name a server of your own with --base-url",
            )

    def problems(self) -> list[Problem] | None:
        """None: any problem may be asked."""
        return None

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw.

        Raises NsadError for a refused key, an unknown model, or servers of which none can be reached.
        """
        from nsad_cli.teachers.asking import Drawing

        asyncio.run(Drawing(self, requests, keep, fail).run())

    def body(self, problem: Problem, draws: int) -> dict[str, Any]:
        """What a request for several draws of a problem says."""
        messages = turns(self.settings.demonstrations, self.settings.prompt, problem.question)
        asked = {"model": self.name, "messages": messages, **self.sent}
        return asked | ({"n": draws} if draws > 1 else {})

    def give_way(self, error: Any, sent: dict[str, Any]) -> bool:
        """Whether to ask again: a model that does not know a parameter gets its newer name, or does without a default.

        Raises NsadError for a value that the model does not take.
        """
        name = error.param
        if name not in sent:
            return False
        if error.code == "unsupported_value":
            raise NsadError(
                f"the model `{self.name}` does not take this {name}",
                self.scrub(error),
                f"set teacher.{name} to what it takes, most often 1",
            ) from None
        if error.code != "unsupported_parameter":
            return False
        if name == "max_tokens":
            if "max_tokens" in self.sent:  # else another request has renamed it meanwhile
                self.sent["max_completion_tokens"] = self.sent.pop("max_tokens")
            return True
        if name == "top_p" and self.settings.top_p == 1:
            self.sent.pop("top_p", None)
            return True
        return False

    def scrub(self, error: BaseException) -> str:
        """The error's text without the key, in one line."""
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self.key, "***")[:300] if self.key else text[:300]


def draws_of(reply: Any, teacher: str, problem_id: str, numbers: Sequence[int]) -> list[Draw]:
    """The usable choices of a reply; the prompt's tokens are the first one's, the others by length of text.

    Raises ValueError for what is no chat completion.
    """
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list):
        raise ValueError(f"not a chat completion: {str(reply)[:80]}")
    usable = [choice for choice in choices if _is_usable(choice)][: len(numbers)]
    if not usable:
        return []
    usage = reply.usage
    texts = [choice.message.content or "" for choice in usable]
    completion = _shared_out(usage.completion_tokens if usage else 0, [len(text) + 1 for text in texts])
    return [
        Draw(
            problem_id,
            teacher,
            number,
            text,
            FINISHES.get(choice.finish_reason, Finish.STOP),
            usage.prompt_tokens if usage and i == 0 else 0,
            completion[i],
        )
        for i, (number, text, choice) in enumerate(zip(numbers, texts, usable, strict=False))
    ]


def _is_usable(choice: Any) -> bool:
    """Whether a choice holds a text, or says why it holds none."""
    content = getattr(getattr(choice, "message", None), "content", None)
    return (isinstance(content, str) and bool(content)) or getattr(choice, "finish_reason", None) in FINISHES


def _shared_out(total: int, sizes: list[int]) -> list[int]:
    """Whole parts of a total, in proportion to sizes, that add up to it."""
    bounds = [total * sum(sizes[:i]) // sum(sizes) for i in range(len(sizes) + 1)]
    return [stop - start for start, stop in itertools.pairwise(bounds)]

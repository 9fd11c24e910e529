"""The chat completions API: building requests and reading draws from replies."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from nsad_cli.config.prompts import chat_messages, demonstrations_key
from nsad_cli.errors import NsadError
from nsad_cli.types import Draw, Finish, Problem
from nsad_cli.utils.api_keys import read_key, redact_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import TeacherConfig
    from nsad_cli.teachers.base import Usage

MAX_SAMPLES_PER_REQUEST = 16
"""Maximum number of draws in one request: if the reply is lost, all of them are."""
COMPLETE_REASONS = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")
"""Finish reasons of a complete answer; with any other one, except a filter's, the answer was truncated."""
LENGTH_REASONS = ("length", "max_tokens")


class ChatModel:
    """A model behind a chat completions API: its parameters and requests, adapted to what it supports."""

    def __init__(self, model: str, settings: TeacherConfig) -> None:
        self.name = model
        self.settings = settings
        self.supports_n = True
        """Whether the server supports several draws per request (`n`); set to False when it turns out not to."""
        self.params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "prompt": settings.prompt,
            **demonstrations_key(settings),
        }
        self.key = read_key(settings.api_key_env, f"the teacher `{model}`") or None
        self.request_params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            # OpenAI's newer models accept only the longer name, many servers only the older one.
            "max_tokens" if settings.base_url else "max_completion_tokens": settings.max_tokens,
        }
        if self.key is None and not settings.base_url:
            raise NsadError(
                f"no API key for the teacher `{model}`",
                f"the variable {settings.api_key_env} is not set",
                f"export {settings.api_key_env}=…, or pass your own server with --base-url",
            )

    def body(self, problem: Problem, draws: int) -> dict[str, Any]:
        """Build the body of a request for draws of a problem."""
        messages = chat_messages(self.settings.demonstrations, self.settings.prompt, problem.question)
        body = {"model": self.name, "messages": messages, **self.request_params}
        return body | ({"n": draws} if draws > 1 else {})

    def adapt_params(self, error: Any, sent_params: dict[str, Any]) -> bool:
        """Adapt the parameters to an error about one of them: use its newer name, or omit a default value.

        Args:
            error: The error, with `param` and `code`.
            sent_params: The parameters of the failed request; other requests may have been adapted meanwhile.

        Returns:
            Whether the request should be sent again.

        Raises:
            NsadError: The model does not support the parameter's value.
        """
        name = error.param
        if name not in sent_params:
            return False
        if error.code == "unsupported_value":
            raise NsadError(
                f"the model `{self.name}` does not support this {name}",
                self.scrub(error),
                f"set teacher.{name} to a value that it supports, usually 1",
            ) from None
        if error.code != "unsupported_parameter":
            return False
        if name == "max_tokens":
            if "max_tokens" in self.request_params:  # otherwise another request's error has renamed it meanwhile
                self.request_params["max_completion_tokens"] = self.request_params.pop("max_tokens")
            return True
        if name == "top_p" and self.settings.top_p == 1:
            self.request_params.pop("top_p", None)
            return True
        return False

    def scrub(self, error: BaseException) -> str:
        """Return the error's text in one line, without the API key."""
        return redact_key(error, self.key)


def draws_of(reply: Any, teacher: str, problem_id: str, numbers: Sequence[int]) -> list[Draw]:
    """Read the draws of a reply.

    The first draw gets all prompt tokens; completion tokens are divided by length of text. All are 0 if the reply does
    not state its usage.

    Args:
        reply: A chat completion of the openai client.
        teacher: The teacher's name.
        problem_id: The problem.
        numbers: The numbers of the requested draws.

    Raises:
        ValueError: The reply is not a chat completion.
    """
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list):
        raise ValueError(f"not a chat completion: {str(reply)[:80]}")
    usable = [choice for choice in choices if _is_usable(choice)][: len(numbers)]
    if not usable:
        return []
    prompt_tokens, completion_tokens = usage_of(reply) or (0, 0)
    texts = [_text(choice) for choice in usable]
    shares = _divide(completion_tokens, [len(text) + 1 for text in texts])
    return [
        Draw(problem_id, teacher, number, text, _finish(choice), prompt_tokens if i == 0 else 0, shares[i])
        for i, (number, text, choice) in enumerate(zip(numbers, texts, usable, strict=False))
    ]


def usage_of(reply: Any) -> Usage:
    """Read the tokens that a reply was charged for; None if it does not state them."""
    usage = getattr(reply, "usage", None)
    found = tuple(getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    prompt, completion = (count if isinstance(count, int) and count >= 0 else 0 for count in found)
    return (prompt, completion) if prompt or completion else None


def _text(choice: Any) -> str:
    """Read a choice's text, or its refusal; a lone surrogate, which cannot be encoded, becomes a question mark."""
    message = choice.message
    text = message.content or getattr(message, "refusal", None) or ""
    return str(text).encode(errors="replace").decode()


def _finish(choice: Any) -> Finish:
    message, reason = choice.message, choice.finish_reason
    if reason == "content_filter" or (not message.content and getattr(message, "refusal", None)):
        return Finish.FILTERED
    return Finish.STOP if reason in COMPLETE_REASONS else Finish.LENGTH


def _is_usable(choice: Any) -> bool:
    """Whether a choice has a text, or a finish reason that explains why it has none."""
    message = getattr(choice, "message", None)
    texts = (getattr(message, name, None) for name in ("content", "refusal"))
    if any(isinstance(text, str) and text for text in texts):
        return True
    return message is not None and getattr(choice, "finish_reason", None) in (*LENGTH_REASONS, "content_filter")


def _divide(total: int, sizes: list[int]) -> list[int]:
    """Divide a total into integers in proportion to sizes; each is at least 1 if the total is large enough."""
    minimum = int(total >= len(sizes))
    total -= minimum * len(sizes)
    bounds = [total * sum(sizes[:i]) // sum(sizes) for i in range(len(sizes) + 1)]
    return [stop - start + minimum for start, stop in itertools.pairwise(bounds)]

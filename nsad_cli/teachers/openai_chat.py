"""The chat completions API: what a request says, and what is read from a reply."""

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
"""Draws of one problem in one request, at most: a reply that is lost loses them all."""


COMPLETE_REASONS = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")
"""What servers say of an answer that came to its end; anything but these and a filter was cut off."""


LENGTH_REASONS = ("length", "max_tokens")


class ChatModel:
    """A model behind a chat completions API: its parameters, its requests, and what it does not take."""

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
            **demonstrations_key(settings),
        }
        self.key = read_key(settings.api_key_env, f"the teacher `{model}`") or None
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

    def body(self, problem: Problem, draws: int) -> dict[str, Any]:
        """What a request for several draws of a problem says."""
        messages = chat_messages(self.settings.demonstrations, self.settings.prompt, problem.question)
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
        return redact_key(error, self.key)


def draws_of(reply: Any, teacher: str, problem_id: str, numbers: Sequence[int]) -> list[Draw]:
    """The usable choices of a reply; the prompt's tokens are the first one's, the others by length of text.

    No tokens at all where the reply does not state its usage. Raises ValueError for what is no chat completion.
    """
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list):
        raise ValueError(f"not a chat completion: {str(reply)[:80]}")
    usable = [choice for choice in choices if _is_usable(choice)][: len(numbers)]
    if not usable:
        return []
    prompt, written = usage_of(reply) or (0, 0)
    texts = [_text(choice) for choice in usable]
    completion = _shared_out(written, [len(text) + 1 for text in texts])
    return [
        Draw(problem_id, teacher, number, text, _finish(choice), prompt if i == 0 else 0, completion[i])
        for i, (number, text, choice) in enumerate(zip(numbers, texts, usable, strict=False))
    ]


def usage_of(reply: Any) -> Usage:
    """The tokens that a reply says it was charged for; None where it states none."""
    usage = getattr(reply, "usage", None)
    found = tuple(getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    prompt, completion = (count if isinstance(count, int) and count >= 0 else 0 for count in found)
    return (prompt, completion) if prompt or completion else None


def _text(choice: Any) -> str:
    """A choice's text, or its refusal; half a surrogate pair, which no file takes, becomes a question mark."""
    message = choice.message
    text = message.content or getattr(message, "refusal", None) or ""
    return str(text).encode(errors="replace").decode()


def _finish(choice: Any) -> Finish:
    message, reason = choice.message, choice.finish_reason
    if reason == "content_filter" or (not message.content and getattr(message, "refusal", None)):
        return Finish.FILTERED
    return Finish.STOP if reason in COMPLETE_REASONS else Finish.LENGTH


def _is_usable(choice: Any) -> bool:
    """Whether a choice holds a text, or says why it holds none."""
    message = getattr(choice, "message", None)
    said = (getattr(message, name, None) for name in ("content", "refusal"))
    if any(isinstance(text, str) and text for text in said):
        return True
    return message is not None and getattr(choice, "finish_reason", None) in (*LENGTH_REASONS, "content_filter")


def _shared_out(total: int, sizes: list[int]) -> list[int]:
    """Whole parts of a total, in proportion to sizes, that add up to it; none of them 0 where there is enough."""
    least = int(total >= len(sizes))
    total -= least * len(sizes)
    bounds = [total * sum(sizes[:i]) // sum(sizes) for i in range(len(sizes) + 1)]
    return [stop - start + least for start, stop in itertools.pairwise(bounds)]

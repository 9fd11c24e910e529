"""Reading chat completions: draws, usage, the server's own words, and why a reply cannot be used."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nsad_cli.types import Draw, Finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.teachers.base import Usage

COMPLETE_REASONS = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")
"""Finish reasons of a complete answer; with any other one, except a filter's, the answer was truncated."""
LENGTH_REASONS = ("length", "max_tokens")
USAGE_FIELDS = ("prompt_tokens", "completion_tokens")
MAX_USAGE_TOKENS = 10**8
"""The largest number of tokens that a reply may state: more than any model's context, times the draws of a request."""
REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Fields of a message in which servers return what a model thought before it answered."""
REASONING_PARTS = ("thinking", "reasoning")
"""Types of the parts of a message's content with what the model thought."""
WORDS = ("message", "detail", "error", "msg", "code")
"""Fields in which servers say what is wrong, in the order in which they are looked up."""


class ErrorReplyError(ValueError):
    """A reply with an error in place of a completion, at status 200."""

    def __init__(self, reply: Any) -> None:
        self.error = _field(reply, "error")
        words = next(filter(None, (words_of(_field(reply, name)) for name in WORDS)), "")
        super().__init__(words or f"not a chat completion: {str(reply)[:80]}")

    @property
    def codes(self) -> tuple[str, ...]:
        """The error's code, type and status, as far as it has them."""
        fields = self.error if isinstance(self.error, Mapping) else {}
        return tuple(str(fields[name]) for name in ("code", "type", "status") if fields.get(name) is not None)


class _Message(NamedTuple):
    """A choice's message as it is stored."""

    text: str
    refused: bool = False
    called: str = ""
    """The name of the tool that the model called instead of answering."""


def draws_of(reply: Any, teacher: str, problem_id: str, numbers: Sequence[int]) -> list[Draw]:
    """Read the draws of a reply.

    The first draw gets all prompt tokens; completion tokens are divided by length of text. All are 0 if the reply does
    not state its usage.

    Args:
        reply: A chat completion, as parsed JSON.
        teacher: The teacher's name.
        problem_id: The problem.
        numbers: The numbers of the requested draws.

    Raises:
        ErrorReplyError: The reply is not a chat completion.
    """
    usable = [choice for choice in _choices(reply) if _is_usable(choice)][: len(numbers)]
    if not usable:
        return []
    prompt_tokens, completion_tokens = usage_of(reply) or (0, 0)
    texts = [_message(choice).text for choice in usable]
    shares = _divide(completion_tokens, [len(text) + 1 for text in texts])
    return [
        Draw(problem_id, teacher, number, text, _finish(choice), prompt_tokens if i == 0 else 0, shares[i])
        for i, (number, text, choice) in enumerate(zip(numbers, texts, usable, strict=False))
    ]


def unusable_reason(reply: Any) -> str:
    """Say why a chat completion has no draw."""
    for choice in _choices(reply):
        if called := _message(choice).called:
            return f"the model called the tool `{called}` instead of answering"
        return f"an empty reply (finish reason {str(_field(choice, 'finish_reason'))[:40]})"
    return "an empty reply (no choices)"


def calls_tool(reply: Any) -> bool:
    """Whether the model called a tool instead of answering."""
    return any(_message(choice).called for choice in _choices(reply))


def usage_of(reply: Any) -> Usage:
    """Read the tokens that a reply was charged for; None if it does not state them, or states impossible numbers."""
    if implausible_usage(reply):
        return None
    prompt, completion = (int(count or 0) for count in _usage_counts(reply))
    return (prompt, completion) if prompt or completion else None


def implausible_usage(reply: Any) -> str:
    """Describe a stated number of tokens that no reply can have had; empty if there is none."""
    for name, count in zip(USAGE_FIELDS, _usage_counts(reply), strict=True):
        if count is not None and not _is_plausible(count):
            return f"{name} {str(count)[:40]}"
    return ""


def _usage_counts(reply: Any) -> tuple[Any, ...]:
    usage = _field(reply, "usage")
    return tuple(_field(usage, name) for name in USAGE_FIELDS)


def _is_plausible(count: Any) -> bool:
    is_number = isinstance(count, int | float) and not isinstance(count, bool)
    return is_number and 0 <= count <= MAX_USAGE_TOKENS and count == int(count)  # NaN fails the comparison


def words_of(body: Any) -> str:
    """Find a server's own words in the body of an error, such as {"error": {"message": …}} or {"detail": [{"msg": …}]}.

    Returns:
        The words; empty if there are none.
    """
    if isinstance(body, Mapping):
        words = next(filter(None, (words_of(body.get(name)) for name in WORDS)), "")
        place = body.get("loc")
        return f"{'.'.join(map(str, place))}: {words}" if isinstance(place, list | tuple) and words else words
    if isinstance(body, list | tuple):
        return "; ".join(filter(None, map(words_of, body[:5])))
    return str(body).strip() if isinstance(body, str | int) and not isinstance(body, bool) else ""


def _choices(reply: Any) -> list[Any]:
    choices = _field(reply, "choices")
    if not isinstance(choices, list):
        raise ErrorReplyError(reply)
    return choices


def _message(choice: Any) -> _Message:
    """Read a choice's message: what the model thought between <think> tags, then its answer, or its refusal.

    A lone surrogate, which cannot be encoded, becomes a question mark.
    """
    message = _field(choice, "message")
    calls = _field(message, "tool_calls") or _field(message, "function_call")
    if calls:
        call = calls[0] if isinstance(calls, list) else calls
        return _Message("", called=str(_field(_field(call, "function"), "name") or _field(call, "name") or "?")[:60])
    thought, text = _split_parts(_field(message, "content"))
    thought = next(filter(None, (_joined(_field(message, name)) for name in REASONING_FIELDS)), thought).strip()
    refusal = "" if text or thought else _joined(_field(message, "refusal"))
    if thought and not text.lstrip().startswith("<think>"):
        text = f"<think>\n{thought}\n</think>\n\n{text}"
    return _Message((text or refusal).encode(errors="replace").decode(), refused=bool(refusal))


def _split_parts(content: Any) -> tuple[str, str]:
    """Split a message's content, a text or a list of parts, into what the model thought and what it answered."""
    if not isinstance(content, list):
        return "", _joined(content)
    thoughts = [part for part in content if _field(part, "type") in REASONING_PARTS]
    return _joined(thoughts), _joined([part for part in content if part not in thoughts])


def _joined(value: Any) -> str:
    """Join the texts of a value: a text, a part with a text, or a list of these."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_joined, value))
    if value is None or isinstance(value, int | float):
        return ""
    return next(filter(None, (_joined(_field(value, name)) for name in ("text", *REASONING_PARTS, "refusal"))), "")


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _finish(choice: Any) -> Finish:
    reason = _field(choice, "finish_reason")
    if reason == "content_filter" or _message(choice).refused:
        return Finish.FILTERED
    return Finish.STOP if reason in COMPLETE_REASONS else Finish.LENGTH


def _is_usable(choice: Any) -> bool:
    """Whether a choice has a text, or a finish reason that explains why it has none."""
    message = _message(choice)
    if message.text or message.called:
        return not message.called
    has_message = _field(choice, "message") is not None
    return has_message and _field(choice, "finish_reason") in (*LENGTH_REASONS, "content_filter")


def _divide(total: int, sizes: list[int]) -> list[int]:
    """Divide a total into integers in proportion to sizes; each is at least 1 if the total is large enough."""
    minimum = int(total >= len(sizes))
    total -= minimum * len(sizes)
    bounds = [total * sum(sizes[:i]) // sum(sizes) for i in range(len(sizes) + 1)]
    return [stop - start + minimum for start, stop in itertools.pairwise(bounds)]

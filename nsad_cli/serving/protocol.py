"""The OpenAI-compatible API: requests as data, and the replies that they get."""

from __future__ import annotations

import dataclasses
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nsad_cli.generation.sampler import Sampling
from nsad_cli.serving.live_solver import Answer, Ask, Progress, best_chain
from nsad_cli.types import Finish
from nsad_cli.voting.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.inference.solver import VoteSettings

MAX_SAMPLES = 256
"""The most chains that a request may ask for."""
MIN_TEMPERATURE = 1e-3
"""Lower ones are greedy: float32 could not compute the probabilities."""
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "tools": (None, []),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "stop": (None, []),
    "suffix": (None, ""),
    "echo": (None, False),
    "logit_bias": (None, {}),
    "audio": (None,),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
}
"""Fields of the API that are not supported, with the values that change nothing."""


class BadRequestError(ValueError):
    """A request that cannot be answered; `parameter` is the field at fault."""

    def __init__(self, message: str, parameter: str | None = None, *, status: int = 400, code: str | None = None):
        super().__init__(message)
        self.parameter, self.status, self.code = parameter, status, code


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class VoteOptions(BaseModel):
    """The field `nsad` of a request: how to vote."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rule: str | None = None
    samples: int | None = Field(default=None, ge=1, le=MAX_SAMPLES)
    stop_at: float | None = Field(default=None, ge=0.5, lt=1)
    wave: int | None = Field(default=None, ge=1)


class Part(_Model):
    """A part of a message; only text is supported."""

    type: str
    text: str = ""


class Message(_Model):
    """A message of a chat."""

    role: str
    content: str | list[Part] | None = None


class StreamOptions(_Model):
    """What a stream includes."""

    include_usage: bool | None = None


class Body(_Model):
    """The fields of both kinds of requests."""

    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    nsad: VoteOptions | None = None


class ChatBody(Body):
    """The body of /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)


class TextBody(Body):
    """The body of /v1/completions."""

    prompt: str | list[str]


@dataclass(frozen=True, slots=True)
class Request:
    """A request: the question, and the form of the reply."""

    ask: Ask
    chat: bool
    model: str
    stream: bool
    usage_in_stream: bool
    notes: tuple[str, ...]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass(frozen=True, slots=True)
class Defaults:
    """What requests get that do not say otherwise: the model's name, votes and sampling."""

    model: str
    votes: VoteSettings
    sampling: Sampling


def read_request(value: Any, defaults: Defaults, *, chat: bool) -> Request:
    """Read a request's body.

    Args:
        value: The body, as parsed JSON.
        defaults: The server's settings; the longest chain is theirs, a request may only ask for less.
        chat: Whether it is a chat, or a text completion.

    Raises:
        BadRequestError: It is malformed, or asks for what is not supported.
    """
    body = _parse(value, ChatBody if chat else TextBody)
    if body.model not in (None, defaults.model):
        message = f"The model `{body.model}` does not exist; this server has `{defaults.model}`."
        raise BadRequestError(message, "model", status=404, code="model_not_found")
    more = body.model_extra or {}
    for name in more:
        if name in NEUTRAL and more[name] not in NEUTRAL[name]:
            raise BadRequestError(f"`{name}` is not supported: the answer is the vote of several chains.", name)
    question, notes = _chat_question(body) if isinstance(body, ChatBody) else (_text_question(body), [])
    field_name = "messages" if chat else "prompt"
    if not question.strip():
        raise BadRequestError("The question is empty.", field_name)
    if any("\ud800" <= char <= "\udfff" for char in question):
        raise BadRequestError("The question is not valid Unicode: it has a lone surrogate.", field_name)
    options = body.nsad or VoteOptions()
    if options.rule not in (None, *RULES):
        raise BadRequestError(f"Unknown rule `{options.rule}`; rules: {', '.join(RULES)}.", "nsad.rule")
    votes = dataclasses.replace(defaults.votes, **_given(options))
    stream = bool(body.stream)
    ask = Ask(question.strip(), votes, _sampling(body, defaults.sampling, notes), _seed(body), stream)
    unknown = sorted(set(more) - set(NEUTRAL) - {"user", "store", "metadata"})
    notes += [f"ignored: {', '.join(unknown)}"] if unknown else []
    in_stream = bool(body.stream_options and body.stream_options.include_usage)
    return Request(ask, chat, defaults.model, stream, in_stream, tuple(notes))


def _given(options: VoteOptions) -> dict[str, Any]:
    """Return the options that a request sets; `"stop_at": null` samples all chains."""
    given = {name: getattr(options, name) for name in options.model_fields_set}
    return {name: value for name, value in given.items() if value is not None or name == "stop_at"}


def _parse(value: Any, kind: type[ChatBody | TextBody]) -> ChatBody | TextBody:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise BadRequestError(f"`{place}`: {first['msg']}.", place) from None


def _chat_question(body: ChatBody) -> tuple[str, list[str]]:
    """Return the question of a chat, the last message, and notes on what is not used."""
    *earlier, last = body.messages
    if last.role != "user":
        raise BadRequestError("The last message must be the user's: the student answers it.", "messages")
    content = last.content or ""
    if isinstance(content, list):
        if any(part.type != "text" for part in content):
            raise BadRequestError("Only text is supported in a message.", "messages")
        content = "\n".join(part.text for part in content)
    return content, [f"ignored: {len(earlier)} earlier messages; the last one is answered"] if earlier else []


def _text_question(body: TextBody) -> str:
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise BadRequestError("Send one prompt a request; concurrent requests share batches.", "prompt")
    return prompts[0]


def _sampling(body: Body, default: Sampling, notes: list[str]) -> Sampling:
    temperature = default.temperature if body.temperature is None else body.temperature
    if temperature < MIN_TEMPERATURE or body.top_p == 0:
        temperature = 0.0
    asked = body.max_completion_tokens or body.max_tokens or default.max_new_tokens
    if asked > default.max_new_tokens:
        notes.append(f"max_tokens: a chain has at most {default.max_new_tokens} tokens here")
    top_p = body.top_p or default.top_p
    if temperature == 0:
        notes.append("temperature 0: all chains are the same, so that there is nothing to vote on")
    return Sampling(temperature, top_p, min(asked, default.max_new_tokens))


def _seed(body: Body) -> str:
    """Return the seed: a new one for each request without one, so that a repeated question gets other chains."""
    return secrets.token_hex(8) if body.seed is None else str(body.seed)


def reply(request: Request, answer: Answer, solution: dict[str, Any]) -> dict[str, Any]:
    """Build the reply to a request.

    Args:
        request: The request.
        answer: Its answer.
        solution: The object of `nsad solve --json`.

    Returns:
        The API's object, with the additional field `nsad`: the solution, and notes.
    """
    return {
        **_head(request, "chat.completion" if request.chat else "text_completion"),
        "choices": [_choice(request, answer)],
        "usage": _usage(answer),
        "nsad": {**solution, "notes": [*answer.solution.notes, *request.notes]},
    }


def progress_chunk(request: Request, progress: Progress) -> dict[str, Any]:
    """Build the chunk of a stream that reports the state of the vote; its text is empty."""
    state = {"chains": progress.chains, "of": request.ask.votes.samples, "answer": progress.answer}
    return {**_chunk(request, {}, None), "nsad": {**state, "share": progress.share}}


def answer_chunks(request: Request, answer: Answer, solution: dict[str, Any]) -> list[dict[str, Any]]:
    """Build the last chunks of a stream: the text, its end with the field `nsad`, and the usage if it was asked for."""
    text, finish = _text(answer), _finish(answer)
    role = {"role": "assistant", "content": text} if request.chat else {"text": text}
    end = {**_chunk(request, {}, finish), "nsad": {**solution, "notes": [*answer.solution.notes, *request.notes]}}
    usage = [{**_chunk(request, {}, None), "choices": [], "usage": _usage(answer)}] if request.usage_in_stream else []
    return [_chunk(request, role, None), end, *usage]


def error_object(message: str, kind: str, parameter: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Build the API's object of an error."""
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def model_list(defaults: Defaults, created: int) -> dict[str, Any]:
    """Build the reply of /v1/models."""
    return {
        "object": "list",
        "data": [{"id": defaults.model, "object": "model", "created": created, "owned_by": "nsad"}],
    }


def _head(request: Request, kind: str) -> dict[str, Any]:
    prefix = "chatcmpl" if request.chat else "cmpl"
    return {"id": f"{prefix}-{request.id}", "object": kind, "created": request.created, "model": request.model}


def _choice(request: Request, answer: Answer) -> dict[str, Any]:
    text, finish = _text(answer), _finish(answer)
    own = {"message": {"role": "assistant", "content": text}} if request.chat else {"text": text}
    return {"index": 0, **own, "logprobs": None, "finish_reason": finish}


def _chunk(request: Request, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    kind = "chat.completion.chunk" if request.chat else "text_completion"
    own = {"delta": delta} if request.chat else {"text": delta.get("text", "")}
    return {
        **_head(request, kind),
        "choices": [{"index": 0, **own, "logprobs": None, "finish_reason": finish}],
    }


def _text(answer: Answer) -> str:
    chain = best_chain(answer.solution)
    return "" if chain is None else chain.text


def _finish(answer: Answer) -> str:
    chain = best_chain(answer.solution)
    return (Finish.STOP if chain is None else chain.finish).value


def _usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

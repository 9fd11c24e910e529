"""The server engine: a student that an OpenAI-compatible server holds, asked by /v1/completions with its own prompt.

The prompt goes as token ids, which the API allows and which leave no doubt about a BOS; a server that refuses them
gets its text. What a server would take from the model's generation_config.json, a repetition penalty say, is asked to
be neutral, where it knows such fields. A chain is a request of its own with a seed of its own, so that it follows from
(seed, problem, index) as far as the server keeps seeds. Where the server lists no token for the end of a chain,
neither does the chain.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nsad_cli.errors import NsadError
from nsad_cli.generation.sampler import Sampling, Task, require_context
from nsad_cli.types import Chain, Finish
from nsad_cli.utils.api_keys import CONNECTION_ERRORS, read_key, redact_key
from nsad_cli.utils.hashing import seed_of
from nsad_cli.utils.logprobs import log_probability
from nsad_cli.utils.logs import note
from nsad_cli.utils.rate_limit import MAX_RETRIES, backoff

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence

    from nsad_cli.models.student import Student

AT_FIRST = 2
"""Attempts after the first one as long as no server has ever answered."""
FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH, "content_filter": Finish.FILTERED}
BAD_REQUESTS = (400, 422)
PASSING = (408, 409, 429)
"""Refusals that another attempt may not meet, beside errors of the server itself (500 and above)."""
NEUTRAL = {
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_k": -1,
    "min_p": 0.0,
}
"""Values that change nothing, for servers that apply the model's own settings to what a request leaves out."""
WAYS = tuple((by_ids, neutral) for by_ids in (True, False) for neutral in (NEUTRAL, {}))
"""How a completion can be asked for, the best way first: the prompt as token ids, and the neutral values."""
SEED_BITS = 31
"""Some servers know no more."""
NEAR = 8
"""Characters within which a token's text must come: what is further on belongs to another token."""


class ServerSampler:
    """Samples with the model `model` of OpenAI-compatible servers that all hold the same student.

    student: the tokenizer and prompt side, whose weights are not needed (load_student(…, weights=False)).
    """

    plans_batches = False

    def __init__(
        self,
        student: Student,
        base_urls: Sequence[str],
        model: str,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 64,
        timeout: float = 600.0,
    ) -> None:
        self.student, self.base_urls, self.model = student, tuple(base_urls), model
        self.concurrency, self.timeout, self.key_name = concurrency, timeout, api_key_env
        self.key = read_key(api_key_env, f"the model `{model}`")
        self._noted = False

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """See Sampler.sample; nothing of kept tasks is asked, and on_tokens gets a chain's tokens when it is there.

        Raises NsadError where the servers cannot be reached, refuse the key, the model or a request, or go on failing.
        """
        wanted = [task for task in tasks if not task.kept]
        prompts = {task.problem_id: self.student.prompt_ids(task.question) for task in wanted}
        require_context(self.student, max(prompts.values(), key=len, default=[]))
        with asyncio.Runner() as runner:
            stream = self._stream(wanted, prompts, sampling, seed)
            try:
                while (found := runner.run(_next(stream))) is not None:
                    chain, tokens = found
                    on_tokens(tokens)
                    yield chain
            finally:
                runner.run(stream.aclose())

    async def _stream(
        self, tasks: Sequence[Task], prompts: dict[str, list[int]], sampling: Sampling, seed: str
    ) -> AsyncGenerator[tuple[Chain, int], None]:
        """Every chain as it arrives, with its number of tokens."""
        servers, room = _Servers(self), asyncio.Semaphore(self.concurrency)

        async def ask(task: Task, index: int) -> tuple[Chain, int]:
            async with room:
                ids = prompts[task.problem_id]
                body = self._body(len(ids), sampling, seed_of(seed, task.problem_id, index, bits=SEED_BITS))
                reply = await servers.complete(body, ids, self.student.prompt_text(task.question))
            chain = self._record(task, index, reply.choices[0])
            return chain, reply.usage.completion_tokens if reply.usage else len(chain.logprobs)

        asked = [asyncio.create_task(ask(task, index)) for task in tasks for index in task.indices]
        try:
            for answer in asyncio.as_completed(asked):
                yield await answer
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            await servers.close()

    def _body(self, prompt: int, sampling: Sampling, seed: int) -> dict[str, Any]:
        """What is asked of the server after a prompt of so many tokens."""
        room = self.student.context
        body = {
            "model": self.model,
            "max_tokens": min(sampling.max_new_tokens, room - prompt) if room else sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            "logprobs": 1,
        }
        return body | ({"stop": list(self.student.stop_texts)} if self.student.stop_texts else {})

    def _record(self, task: Task, index: int, choice: Any) -> Chain:
        said, text = choice.logprobs, choice.text
        tokens, logprobs = (said.tokens or [], said.token_logprobs or []) if said is not None else ([], [])
        known = [log_probability(value) for value in logprobs]
        if len(tokens) != len(known) or None in known:
            if any(value is not None and log_probability(value) is None for value in logprobs):
                self._note_unlikely()
            tokens, known = [], []
        ends = offsets(text, tokens)
        if ends and choice.finish_reason == "length":
            ends[-1] = len(text)
        for stop in self.student.stop_texts:  # a server may leave in what it stopped at
            text = text.partition(stop)[0]
        if self.student.stop_texts and choice.finish_reason == "stop":
            text = text.rstrip()
        return Chain(
            task.problem_id,
            index,
            text,
            None,
            FINISHES.get(choice.finish_reason, Finish.STOP),
            tuple(min(end, len(text)) for end in ends),
            tuple(value for value in known if value is not None),
        )

    def _note_unlikely(self) -> None:
        """Say once that a chain is kept without what the server told of its tokens."""
        if not self._noted:
            self._noted = True
            note(f"`{self.model}`: log-probabilities that are none (not numbers, or above 0): kept without them")


@dataclass
class _Server:
    """One base URL with its client."""

    client: Any
    is_openai: bool
    """OpenAI's own API applies no settings of a model, and refuses fields that it does not know."""
    under_way: int = 0
    misses: int = 0
    """Failures in a row."""


class _Servers:
    """Asks one of the servers, and again where it fails."""

    def __init__(self, sampler: ServerSampler) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self.sampler = sampler
        key, timeout = sampler.key or "none", sampler.timeout
        self.servers = [
            # Retries are ours: the next attempt may be another server's.
            _Server(
                AsyncOpenAI(
                    base_url=url, api_key=key, max_retries=0, timeout=timeout, http_client=DefaultAioHttpClient()
                ),
                is_openai=f".{urlsplit(url).hostname}".endswith(".openai.com"),
            )
            for url in sampler.base_urls
        ]
        self.way = 0
        """The first of the WAYS that no server has refused; found out by asking."""
        self.answered = False

    async def close(self) -> None:
        """Close all connections."""
        for server in self.servers:
            await server.client.close()

    async def complete(self, body: dict[str, Any], ids: list[int], text: str) -> Any:
        """A completion, of the server with the fewest requests under way among those that answer."""
        import openai

        attempt = 0
        while True:
            server = min(self.servers, key=lambda item: (item.misses, item.under_way))
            way = self.way
            by_ids, neutral = WAYS[way]
            more = {} if server.is_openai else neutral
            server.under_way += 1
            try:
                reply = await server.client.completions.create(prompt=ids if by_ids else text, extra_body=more, **body)
                if not _is_completion(reply):
                    raise ValueError(f"not a completion: {str(reply)[:80]}")
            except (openai.OpenAIError, ValueError) as error:  # ValueError: a body that is no JSON
                refused = isinstance(error, openai.APIStatusError) and error.status_code in BAD_REQUESTS
                if refused and way + 1 < len(WAYS):
                    self.way = max(self.way, way + 1)
                    continue
                server.misses += 1
                if attempt >= (MAX_RETRIES if self.answered else AT_FIRST) or not _may_pass(error):
                    raise self._told(error, server) from None
            else:
                self.answered, server.misses = True, 0
                return reply
            finally:
                server.under_way -= 1
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    def _told(self, error: Exception, server: _Server) -> NsadError:
        """What a failure means that no further attempt will change."""
        import openai

        unconnected = isinstance(error, openai.APIConnectionError)
        said = redact_key((error.__cause__ if unconnected else None) or error, self.sampler.key)
        # The aiohttp client calls a refused connection a timeout, of connecting.
        slow = isinstance(error, openai.APITimeoutError) and type(error.__cause__).__name__ not in CONNECTION_ERRORS
        where, model = server.client.base_url, self.sampler.model
        again = "chains that arrived are kept: run the same command again"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            fix = f"check the variable {self.sampler.key_name}"
            return NsadError(f"{where} refused the API key", f"the server answered {error.status_code}", fix)
        if isinstance(error, openai.NotFoundError):
            fix = "check the model's name and the URL; a server that knows chats alone will not do"
            return NsadError(f"{where} has no completions of the model `{model}`", said, fix)
        if slow:
            said = f"no answer within {self.sampler.timeout:.0f} s"
        elif unconnected:
            return NsadError(f"cannot reach {where}", said, f"check the URL and that the server runs; {again}")
        elif not isinstance(error, openai.APIStatusError):
            fix = "check the server's URL (most end in /v1)"
            return NsadError(f"what {where} answers is no completion", said, fix)
        return NsadError(f"{where} does not answer for the model `{model}`", said, f"look at the server; {again}")


async def _next(stream: AsyncIterator[tuple[Chain, int]]) -> tuple[Chain, int] | None:
    return await anext(stream, None)


def _is_completion(reply: Any) -> bool:
    choices = getattr(reply, "choices", None)
    return isinstance(choices, list) and bool(choices) and isinstance(getattr(choices[0], "text", None), str)


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    status = getattr(error, "status_code", None)
    return status is None or status >= 500 or status in PASSING


def offsets(text: str, tokens: Sequence[str]) -> list[int]:
    """Where each token ends in the text, by what the server says that the tokens are.

    One that is not in the text (an end, a part of a character) ends where the one before it does.
    """
    ends: list[int] = []
    end = 0
    for token in tokens:
        place = text.find(token, end, end + len(token) + NEAR) if token else -1
        end = place + len(token) if place >= 0 else end
        ends.append(end)
    return ends

"""The server engine: samples a student on OpenAI-compatible servers through /v1/completions, with its own prompt.

The prompt is sent as token ids, which the API allows and which make BOS unambiguous; if a server rejects them, it gets
the text. Fields that a server would take from the model's generation_config.json, such as a repetition penalty, are
set to neutral values if the server accepts them. Each chain is a request with its own seed, so that it is determined
by (seed, problem, index) as far as the server honours seeds. If the server lists no end-of-sequence token, the chain
has none.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nsad_cli.errors import NsadError
from nsad_cli.generation.live_requests import LiveRequest
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

INITIAL_RETRIES = 2
"""The number of retries before any server has replied."""
FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH, "content_filter": Finish.FILTERED}
BAD_REQUESTS = (400, 422)
RETRYABLE_STATUSES = (408, 409, 429)
"""Client errors worth a retry; server errors (500 and above) are too."""
NEUTRAL = {
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_k": -1,
    "min_p": 0.0,
}
"""Values without effect, for servers that apply the model's own settings to fields that a request omits."""
REQUEST_FORMS = tuple((by_ids, neutral) for by_ids in (True, False) for neutral in (NEUTRAL, {}))
"""The forms of a request in order of preference: whether the prompt is token ids, and the neutral values or none."""
SEED_BITS = 31
"""Some servers support no larger seeds."""
MAX_GAP = 8
"""The maximum number of characters before a token's text; a later match belongs to another token."""


class ServerSampler:
    """Samples from OpenAI-compatible servers that all serve the same student.

    Args:
        student: The student's tokenizer and prompt; weights are not needed (load_student(…, weights=False)).
        base_urls: The servers' base URLs.
        model: The model's name on the servers.
        api_key_env: The environment variable with the API key.
        concurrency: The maximum number of in-flight requests.
        timeout: The timeout of a request, in seconds.
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
        """See Sampler.sample; cached tasks are not requested, and on_tokens is called once per chain, at its end.

        Raises:
            NsadError: The servers are unreachable, reject the key, the model or a request, or keep failing.
        """
        wanted = [task for task in tasks if not task.cached]
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
        """Yield each chain as it arrives, with its number of tokens."""
        servers = Servers(self)
        requests = [
            asyncio.create_task(
                self.request(servers, LiveRequest(task, prompts[task.problem_id], sampling, seed), index)
            )
            for task in tasks
            for index in task.indices
        ]
        try:
            for result in asyncio.as_completed(requests):
                yield await result
        finally:
            for item in requests:
                item.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
            await servers.close()

    async def request(self, servers: Servers, request: LiveRequest, index: int) -> tuple[Chain, int]:
        """Request one chain.

        Args:
            servers: The servers.
            request: The task, of which one chain is requested.
            index: The chain's index.

        Returns:
            The chain and its number of tokens.

        Raises:
            NsadError: See `sample`.
        """
        task, ids = request.task, request.prompt
        async with servers.limit:
            seed = seed_of(request.seed, task.seed_id, index, bits=SEED_BITS)
            body = self._body(len(ids), request.sampling, seed)
            reply = await servers.complete(body, ids, self.student.prompt_text(task.question))
        chain = self._record(task, index, reply.choices[0])
        return chain, reply.usage.completion_tokens if reply.usage else len(chain.logprobs)

    def _body(self, prompt: int, sampling: Sampling, seed: int) -> dict[str, Any]:
        """Build a request's fields, except the prompt; `prompt` is its number of tokens."""
        context = self.student.context
        body = {
            "model": self.model,
            "max_tokens": min(sampling.max_new_tokens, context - prompt) if context else sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            "logprobs": 1,
        }
        return body | ({"stop": list(self.student.stop_texts)} if self.student.stop_texts else {})

    def _record(self, task: Task, index: int, choice: Any) -> Chain:
        listed, text = choice.logprobs, choice.text
        tokens, logprobs = (listed.tokens or [], listed.token_logprobs or []) if listed is not None else ([], [])
        known = [log_probability(value) for value in logprobs]
        if len(tokens) != len(known) or None in known:
            if any(value is not None and log_probability(value) is None for value in logprobs):
                self._note_invalid_logprobs()
            tokens, known = [], []
        ends = offsets(text, tokens)
        if ends and choice.finish_reason == "length":
            ends[-1] = len(text)
        for stop in self.student.stop_texts:  # a server may include the stop text
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

    def _note_invalid_logprobs(self) -> None:
        """Report once that invalid log-probabilities are dropped."""
        if not self._noted:
            self._noted = True
            note(f"`{self.model}`: dropped invalid log-probabilities (not a number, or above 0); the chains are kept")


@dataclass
class _Server:
    """One base URL with its client."""

    client: Any
    is_openai: bool
    """OpenAI's own API applies no settings of a model, and rejects unknown fields."""
    in_flight: int = 0
    failures: int = 0
    """Consecutive failures."""


class Servers:
    """Sends requests to one of the servers, with retries; for one event loop."""

    def __init__(self, sampler: ServerSampler) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self.sampler = sampler
        self.limit = asyncio.Semaphore(sampler.concurrency)
        key, timeout = sampler.key or "none", sampler.timeout
        self.servers = [
            # The client does not retry, because the next attempt may go to another server.
            _Server(
                AsyncOpenAI(
                    base_url=url, api_key=key, max_retries=0, timeout=timeout, http_client=DefaultAioHttpClient()
                ),
                is_openai=f".{urlsplit(url).hostname}".endswith(".openai.com"),
            )
            for url in sampler.base_urls
        ]
        self.form = 0
        """The index of the first of the REQUEST_FORMS that no server has rejected so far."""
        self.replied = False

    async def close(self) -> None:
        """Close all connections."""
        for server in self.servers:
            await server.client.close()

    async def complete(self, body: dict[str, Any], ids: list[int], text: str) -> Any:
        """Request a completion from the working server with the fewest in-flight requests."""
        import openai

        attempt = 0
        while True:
            server = min(self.servers, key=lambda item: (item.failures, item.in_flight))
            form = self.form
            by_ids, neutral = REQUEST_FORMS[form]
            more = {} if server.is_openai else neutral
            server.in_flight += 1
            try:
                reply = await server.client.completions.create(prompt=ids if by_ids else text, extra_body=more, **body)
                if not _is_completion(reply):
                    raise ValueError(f"not a completion: {str(reply)[:80]}")
            except (openai.OpenAIError, ValueError) as error:  # ValueError: the body is not JSON
                rejected = isinstance(error, openai.APIStatusError) and error.status_code in BAD_REQUESTS
                if rejected and form + 1 < len(REQUEST_FORMS):
                    self.form = max(self.form, form + 1)
                    continue
                server.failures += 1
                if attempt >= (MAX_RETRIES if self.replied else INITIAL_RETRIES) or not _is_retryable(error):
                    raise self._final_error(error, server) from None
            else:
                self.replied, server.failures = True, 0
                return reply
            finally:
                server.in_flight -= 1
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    def _final_error(self, error: Exception, server: _Server) -> NsadError:
        """Convert an error that is not retried to an NsadError."""
        import openai

        unconnected = isinstance(error, openai.APIConnectionError)
        message = redact_key((error.__cause__ if unconnected else None) or error, self.sampler.key)
        # The aiohttp client reports a refused connection as a connect timeout.
        timed_out = (
            isinstance(error, openai.APITimeoutError) and type(error.__cause__).__name__ not in CONNECTION_ERRORS
        )
        url, model = server.client.base_url, self.sampler.model
        again = "chains that arrived are kept: run the same command again"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            fix = f"check the variable {self.sampler.key_name}"
            return NsadError(f"{url} rejected the API key", f"the server returned {error.status_code}", fix)
        if isinstance(error, openai.NotFoundError):
            fix = "check the model's name and the URL; the server must support /v1/completions, not only chat"
            return NsadError(f"{url} has no completions of the model `{model}`", message, fix)
        if timed_out:
            message = f"no reply within {self.sampler.timeout:.0f} s"
        elif unconnected:
            return NsadError(f"cannot reach {url}", message, f"check the URL and that the server runs; {again}")
        elif not isinstance(error, openai.APIStatusError):
            fix = "check the server's URL (most end in /v1)"
            return NsadError(f"the reply of {url} is not a completion", message, fix)
        return NsadError(f"{url} fails for the model `{model}`", message, f"check the server; {again}")


async def _next(stream: AsyncIterator[tuple[Chain, int]]) -> tuple[Chain, int] | None:
    return await anext(stream, None)


def _is_completion(reply: Any) -> bool:
    choices = getattr(reply, "choices", None)
    return isinstance(choices, list) and bool(choices) and isinstance(getattr(choices[0], "text", None), str)


def _is_retryable(error: Exception) -> bool:
    """Return whether another attempt may succeed."""
    status = getattr(error, "status_code", None)
    return status is None or status >= 500 or status in RETRYABLE_STATUSES


def offsets(text: str, tokens: Sequence[str]) -> list[int]:
    """Locate the end of each token in the text, from the token texts that the server returned.

    A token that is not in the text (end of sequence, part of a character) ends where the previous one does.
    """
    ends: list[int] = []
    end = 0
    for token in tokens:
        place = text.find(token, end, end + len(token) + MAX_GAP) if token else -1
        end = place + len(token) if place >= 0 else end
        ends.append(end)
    return ends

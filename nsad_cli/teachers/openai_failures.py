"""What a failed request to an OpenAI-compatible server means: retry it, give its draws up, or stop altogether."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.teachers.openai_client import ConnectionFailedError, StatusError
from nsad_cli.teachers.openai_replies import ErrorReplyError, calls_tool, unusable_reason, usage_of
from nsad_cli.utils.rate_limit import MAX_RETRIES, MAX_RETRY_AFTER_SECONDS, retry_after, wait_in_words

if TYPE_CHECKING:
    from nsad_cli.teachers.base import Usage
    from nsad_cli.teachers.openai_chat import ChatModel
    from nsad_cli.teachers.openai_servers import Server, Servers

REFUSAL_TIMEOUT_SECONDS = 600.0
"""Seconds without a usable reply from any server after which a request that gets 429 fails for good."""
MAX_UNREASONABLE_DELAYS = 4
"""Refusals in a row with a Retry-After above MAX_RETRY_AFTER_SECONDS after which a server counts as unavailable.

Before that a short backoff is tried instead, because such a header may be a mistake.
"""
QUOTA = "insufficient_quota"
"""OpenAI's error code for an account without credit."""
RESUME = "run the same command again: draws that arrived are stored"
MAX_EMPTY_REPLIES = 4
"""Attempts at a request whose replies are empty, each of which is charged for."""
MAX_INVALID_REPLIES = 2
"""Attempts after which a server that has never returned a chat completion is taken for some other service."""


class RetryError(Exception):
    """The request failed, but another attempt may succeed."""

    def __init__(
        self,
        reason: str,
        *,
        wait: bool = True,
        counts: bool = True,
        paid: bool = False,
        usage: Usage = None,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        """Describe the failure.

        Args:
            reason: Why the request failed.
            wait: Whether to back off before the next attempt.
            counts: Whether it counts as an attempt.
            paid: Whether the failed request may have been charged for.
            usage: The tokens charged, if known.
            max_retries: The maximum number of retries of such a request.
        """
        super().__init__(reason)
        self.reason, self.wait, self.counts, self.paid, self.usage = reason, wait, counts, paid, usage
        self.max_retries = max_retries


class PermanentError(Exception):
    """The request failed, and so would every further attempt."""


class SingleSamplesOnlyError(Exception):
    """The server rejects a request for several draws; it may not support the parameter `n`."""


class FailureClassifier:
    """Turns failed requests into RetryError, PermanentError, SingleSamplesOnlyError or NsadError."""

    def __init__(self, teacher: ChatModel, servers: Servers) -> None:
        self.teacher, self.servers = teacher, servers

    def classify(
        self, error: Exception, server: Server, draws: int, sent_params: dict[str, Any], attempt: int
    ) -> Exception:
        """Classify a failed request; an NsadError concerns all requests.

        Args:
            error: The client's error, or ValueError for a body that is no chat completion.
            server: The server that the request was sent to.
            draws: How many draws it was for.
            sent_params: The sampling parameters that it was sent with.
            attempt: How many attempts failed before.
        """
        teacher, url = self.teacher, server.client.base_url
        text = teacher.scrub(error)
        if isinstance(error, ConnectionFailedError):
            return self._unconnected(error, server, text)
        if isinstance(error, StatusError):
            return self._status(error, server, draws, sent_params)
        if isinstance(error, ErrorReplyError) and (refusal := self._refusal_in_reply(error, url, text)):
            return self._refused(server, refusal)
        if not server.answered and attempt == MAX_INVALID_REPLIES:
            wrong_service = NsadError(
                f"the replies of {url} are not chat completions", text, "check --base-url (most end in /v1)"
            )
            return self._refused(server, wrong_service)
        return RetryError(text, paid=True)

    def _status(self, error: StatusError, server: Server, draws: int, sent_params: dict[str, Any]) -> Exception:
        """Classify a reply with the status of an error."""
        text, status = self.teacher.scrub(error), error.status
        if status in (400, 422):
            if self.teacher.adapt_params(error, sent_params):
                return RetryError(text, wait=False)
            return SingleSamplesOnlyError() if draws > 1 else PermanentError(text)
        if status in (401, 402, 403, 404):
            return self._refused(server, self._refusal(status, server.client.base_url, text))
        if status == 429 or (status == 503 and retry_after(error.headers)):
            return self._rate_limited(error, server, text)
        return RetryError(text) if status >= 500 or status in (408, 409) else PermanentError(text)

    def without_draws(self, reply: Any, server: Server) -> Exception:
        """Classify a completion without a draw, which is charged for.

        A server that has answered before gets a few more attempts, but none after a tool call. One that has never
        answered gets no more requests until a reply that is in flight can be used; see `Server.usable`.
        """
        reason, usage = unusable_reason(reply), usage_of(reply)
        if server.answered:
            retries = 0 if calls_tool(reply) else MAX_EMPTY_REPLIES - 1
            return RetryError(reason, wait=False, paid=True, usage=usage, max_retries=retries)
        server.fault = reason
        return RetryError(reason, wait=False, paid=True, usage=usage)

    def unusable(self, server: Server) -> Exception:
        """Drop a server whose replies have no draws."""
        fix = "check --teacher: it must be a chat model that answers in text, without tools of its own"
        return self._refused(server, NsadError(f"{server.client.base_url} returns no rationale", server.fault, fix))

    def _refusal_in_reply(self, error: ErrorReplyError, url: str, text: str) -> NsadError | None:
        """Describe an error at status 200 that every other request would get too; None if it is another one."""
        if QUOTA in error.codes:
            return NsadError(f"{url} refuses further requests: the account's quota is used up", text, RESUME)
        status = next((int(code) for code in error.codes if code in ("401", "402", "403", "404")), None)
        return None if status is None else self._refusal(status, url, text)

    def _refusal(self, status: int, url: str, text: str) -> NsadError:
        """Describe a status from 401 to 404, which every other request would get too."""
        if status == 401:  # the server's message may repeat a part of the key
            fix = f"check the variable {self.teacher.settings.api_key_env}"
            return NsadError(f"{url} refused the API key", "the server answered 401", fix)
        if status == 402:
            return NsadError(f"{url} requires a payment", text, f"add credit; {RESUME}")
        if status == 403:
            fix = f"check the permissions of the key in {self.teacher.settings.api_key_env}, and --teacher"
            return NsadError(f"{url} forbids these requests", text, fix)
        return NsadError(f"{url} does not know the model `{self.teacher.name}`", text, "check --teacher and --base-url")

    def _refused(self, server: Server, error: NsadError) -> Exception:
        """Drop a server that would refuse every request; the error concerns all requests if no other one is left."""
        if self.servers.drop(server, error):
            return RetryError(f"{error.what}: {error.why}", wait=False, counts=False)
        return error

    def _rate_limited(self, error: StatusError, server: Server, text: str) -> Exception:
        """Classify 429, or 503 with a time to wait: slow down, without limit on attempts while any server answers."""
        if QUOTA in (error.code, error.fields.get("type")):
            quota = NsadError(
                f"{server.client.base_url} refuses further requests: the account's quota is used up",
                text,
                f"add credit; {RESUME}",
            )
            return self._refused(server, quota)
        url, delay = server.client.base_url, retry_after(error.headers)
        later = "run the same command again later: draws that arrived are stored"
        if asyncio.get_running_loop().time() - self.servers.last_answer > REFUSAL_TIMEOUT_SECONDS:
            minutes = REFUSAL_TIMEOUT_SECONDS / 60
            return self._refused(server, NsadError(f"{url} only refused for {minutes:.0f} minutes", text, later))
        too_long = delay is not None and delay > MAX_RETRY_AFTER_SECONDS
        refusals = server.limiter.refused(None if too_long else delay)
        if too_long and refusals >= MAX_UNREASONABLE_DELAYS:
            limit = wait_in_words(MAX_RETRY_AFTER_SECONDS)
            asked = f"{url} asks to wait {wait_in_words(delay or 0.0)}"
            return self._refused(server, NsadError(asked, f"more than the maximum of {limit} ({text})", later))
        server.note_wait(server.limiter.pause, text)
        return RetryError(text, wait=False, counts=False)

    def _unconnected(self, error: ConnectionFailedError, server: Server, text: str) -> Exception:
        """Classify a broken, refused or timed-out connection; a server that accepts none is dropped."""
        if error.timed_out:
            return RetryError(f"no answer within {self.teacher.settings.timeout:.0f} s", wait=False, paid=True)
        if error.began or (error.sent and server.answered):
            return RetryError(text, paid=True)
        server.misses += 1
        is_only = len(self.servers.reachable) == 1
        if server.misses <= MAX_RETRIES:
            return RetryError(text, wait=is_only, counts=is_only, paid=error.sent)
        unreachable = NsadError(
            f"cannot reach {server.client.base_url}",
            text,
            "check --base-url and that the server is running; draws that arrived are stored",
        )
        return self._refused(server, unreachable)

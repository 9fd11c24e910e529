"""Rate limits for one server: concurrent requests, requests and tokens per minute, and backoff."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

MAX_RETRIES = 6
"""The maximum number of retries of a failed request: a broken connection, a server error, an unusable reply."""
MAX_PAUSE_SECONDS = 60.0
"""Maximum backoff; a longer Retry-After of the server is respected, up to MAX_RETRY_AFTER_SECONDS."""
MAX_RETRY_AFTER_SECONDS = 3600.0
"""The longest Retry-After that is waited for; a server that keeps asking for more counts as unavailable."""
EARLIEST_EPOCH_SECONDS = 1e9
"""A Retry-After of at least this many seconds (32 years) is a Unix time, which some servers send."""
NOTED_WAIT_SECONDS = 5.0
"""Waits that are longer are shown to the user."""


class RateLimiter:
    """Limits the requests to one server: at most `concurrency` in flight, fewer after 429 responses.

    A 429 response halves the allowed concurrency and pauses all requests for the time that the server requests; every
    later success increases it again (additive increase, multiplicative decrease, as in TCP).
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        on_slow: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Set the limits.

        Args:
            concurrency: The maximum number of requests in flight.
            requests_per_minute: The maximum number of requests in any minute.
            tokens_per_minute: The maximum number of tokens in any minute.
            on_slow: Called if a request waits for one of the latter longer than NOTED_WAIT_SECONDS, with the seconds
                from one request like it to the next.
        """
        self.in_flight = 0
        self._per_minute, self._on_slow = (requests_per_minute, tokens_per_minute), on_slow
        self._most = self._allowed = float(concurrency)
        self._requests = _limiter(requests_per_minute)
        self._tokens = _limiter(tokens_per_minute)
        self._resume, self._refusals = 0.0, 0
        self._free = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def request(self, tokens: float) -> AsyncIterator[None]:
        """Wait until a request of an estimated number of tokens (prompt and answer) is allowed, and hold its slot."""
        async with self._free:
            await self._free.wait_for(lambda: self.in_flight < max(1, int(self._allowed)))
            self.in_flight += 1
        try:
            while (pause := self.pause) > 0:
                await asyncio.sleep(pause)
            if self._requests or self._tokens:
                await self._acquire(tokens)
            yield
        finally:
            async with self._free:
                self.in_flight -= 1
                self._free.notify_all()

    @property
    def pause(self) -> float:
        """The seconds for which no request is sent, after a refusal."""
        return max(0.0, self._resume - self._now())

    def refused(self, delay: float | None) -> int:
        """Record a 429 response: reduce the concurrency, only once for responses that arrive together.

        Args:
            delay: The seconds that the server asks to wait for; None for a backoff.

        Returns:
            The number of refusals in a row.
        """
        now = self._now()
        if now >= self._resume:
            self._allowed = max(1.0, self._allowed / 2)
            self._refusals += 1
        self._resume = max(self._resume, now + (delay or backoff(self._refusals - 1)))
        return self._refusals

    async def _acquire(self, tokens: float) -> None:
        """Wait for the limits per minute."""
        requests, total = self._per_minute
        interval = max(60 / requests if requests else 0.0, 60 * tokens / total if total else 0.0)
        slow = asyncio.get_running_loop().call_later(NOTED_WAIT_SECONDS, self._on_slow, interval)
        try:
            if self._requests:
                await self._requests.acquire()
            if self._tokens:
                for start in range(0, math.ceil(tokens), part := int(self._tokens.max_rate)):
                    await self._tokens.acquire(min(part, tokens - start))
        finally:
            slow.cancel()

    def answered(self) -> None:
        """Record a successful response."""
        self._refusals = 0
        self._allowed = min(self._most, self._allowed + 1 / self._allowed)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the requested delay in seconds, from `retry-after-ms` or `retry-after` (seconds, a date or a Unix time).

    It may be infinite; None if there is none that can be read.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            seconds = float(headers[name]) * unit
            if math.isfinite(seconds) and seconds >= EARLIEST_EPOCH_SECONDS:
                seconds -= time.time()
            if not math.isnan(seconds):
                return max(0.0, seconds)
    with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    return None


def wait_in_words(seconds: float) -> str:
    """Format a time to wait, such as `40 s`, `12 min` or `3 h`."""
    if not math.isfinite(seconds):
        return "forever"
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _limiter(per_minute: int | None) -> AsyncLimiter | None:
    """Create a limiter for any window of one minute; the burst size is subtracted from the rate."""
    if per_minute is None:
        return None
    burst = max(1, per_minute // 20)
    return AsyncLimiter(burst, 60 * burst / (per_minute - burst + 1))


def backoff(attempt: int) -> float:
    """Return the seconds before the next attempt: exponential backoff with jitter."""
    return float(min(MAX_PAUSE_SECONDS, 0.5 * 2**attempt) * random.uniform(0.75, 1.25))

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
    from collections.abc import AsyncIterator, Mapping

MAX_RETRIES = 6
"""The maximum number of retries of a failed request: a broken connection, a server error, an unusable reply."""
MAX_PAUSE_SECONDS = 60.0
"""Maximum backoff; a longer Retry-After of the server is respected."""


class RateLimiter:
    """Limits the requests to one server: at most `concurrency` in flight, fewer after 429 responses.

    A 429 response halves the allowed concurrency and pauses all requests for the time that the server requests; every
    later success increases it again (additive increase, multiplicative decrease, as in TCP).
    """

    def __init__(self, concurrency: int, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self.in_flight = 0
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
            while (pause := self._resume - self._now()) > 0:
                await asyncio.sleep(pause)
            if self._requests:
                await self._requests.acquire()
            if self._tokens:
                for start in range(0, math.ceil(tokens), part := int(self._tokens.max_rate)):
                    await self._tokens.acquire(min(part, tokens - start))
            yield
        finally:
            async with self._free:
                self.in_flight -= 1
                self._free.notify_all()

    def refused(self, headers: Mapping[str, str]) -> None:
        """Record a 429 response: reduce the concurrency, only once for responses that arrive together."""
        now = self._now()
        if now >= self._resume:
            self._allowed = max(1.0, self._allowed / 2)
            self._refusals += 1
        self._resume = max(self._resume, now + (retry_after(headers) or backoff(self._refusals - 1)))

    def answered(self) -> None:
        """Record a successful response."""
        self._refusals = 0
        self._allowed = min(self._most, self._allowed + 1 / self._allowed)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the requested delay in seconds, from `retry-after-ms` or `retry-after` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) * unit)
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    return None


def _limiter(per_minute: int | None) -> AsyncLimiter | None:
    """Create a limiter for any window of one minute; the burst size is subtracted from the rate."""
    if per_minute is None:
        return None
    burst = max(1, per_minute // 20)
    return AsyncLimiter(burst, 60 * burst / (per_minute - burst + 1))


def backoff(attempt: int) -> float:
    """Return the seconds before the next attempt: exponential backoff with jitter."""
    return float(min(MAX_PAUSE_SECONDS, 0.5 * 2**attempt) * random.uniform(0.75, 1.25))

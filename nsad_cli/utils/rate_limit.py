"""How fast one server is asked: requests under way, requests and tokens a minute, and less where it says so."""

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
"""Attempts after the first one at a reply that failed: a broken connection, an error of the server, no usable text."""
LONGEST_PAUSE = 60.0
"""Seconds; a server that asks for more is believed."""


class RateLimiter:
    """Lets requests through to one server: at most `concurrency` at once, fewer after it has refused some (429).

    A refusal halves what may be under way and holds everybody back for as long as the server says; every answer after
    that gives a little back (additive increase, multiplicative decrease, as in TCP).
    """

    def __init__(self, concurrency: int, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self.under_way = 0
        self._most = self._allowed = float(concurrency)
        self._requests = _limiter(requests_per_minute)
        self._tokens = _limiter(tokens_per_minute)
        self._resume, self._refusals = 0.0, 0
        self._free = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def request(self, tokens: float) -> AsyncIterator[None]:
        """Wait for one's turn, and hold it: a request of an estimated number of tokens, prompt and answer."""
        async with self._free:
            await self._free.wait_for(lambda: self.under_way < max(1, int(self._allowed)))
            self.under_way += 1
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
                self.under_way -= 1
                self._free.notify_all()

    def refused(self, headers: Mapping[str, str]) -> None:
        """The server has answered 429: slow down, all of us, and only once for refusals that come together."""
        now = self._now()
        if now >= self._resume:
            self._allowed = max(1.0, self._allowed / 2)
            self._refusals += 1
        self._resume = max(self._resume, now + (retry_after(headers) or backoff(self._refusals - 1)))

    def answered(self) -> None:
        """The server has answered."""
        self._refusals = 0
        self._allowed = min(self._most, self._allowed + 1 / self._allowed)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks for, in either of the headers that carry them; one may hold a date instead."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) * unit)
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    return None


def _limiter(a_minute: int | None) -> AsyncLimiter | None:
    """Lets through at most so many in any minute: few at once, and then as many less as may come at once."""
    if a_minute is None:
        return None
    at_once = max(1, a_minute // 20)
    return AsyncLimiter(at_once, 60 * at_once / (a_minute - at_once + 1))


def backoff(attempt: int) -> float:
    """Seconds before the next attempt, twice as long each time, with a spread that keeps clients apart."""
    return float(min(LONGEST_PAUSE, 0.5 * 2**attempt) * random.uniform(0.75, 1.25))

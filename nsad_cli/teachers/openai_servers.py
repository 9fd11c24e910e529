"""The servers of an OpenAI-compatible teacher: one client and rate limiter for each base URL."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nsad_cli.utils.logs import note
from nsad_cli.utils.rate_limit import NOTED_WAIT_SECONDS, RateLimiter, wait_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nsad_cli.errors import NsadError
    from nsad_cli.teachers.openai_chat import ChatModel
    from nsad_cli.teachers.openai_client import ChatClient


@dataclass
class Server:
    """One base URL."""

    client: ChatClient
    limiter: RateLimiter
    answered: bool = False
    """Whether it has returned a usable reply yet."""
    misses: int = 0
    """Connections in a row that it has refused."""
    waiting_for: int = 0
    """Requests that were sent and have no reply yet."""
    fault: str = ""
    """Why its first replies cannot be used; empty once one can."""
    noted_until: float = 0.0
    """The event loop's time until which a wait has been shown."""
    _replied: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the next reply, and then replaced."""

    def note_wait(self, seconds: float, reason: str) -> None:
        """Show a wait that is not short, once until it ends."""
        now = asyncio.get_running_loop().time()
        if seconds > NOTED_WAIT_SECONDS and now >= self.noted_until:
            self.noted_until = now + seconds
            note(f"{self.client.base_url}: waiting {wait_in_words(seconds)} ({reason})")

    async def usable(self) -> bool:
        """Whether to send a request; waits for the replies in flight while none so far can be used."""
        while self.fault and self.waiting_for:
            await self._replied.wait()
        return not self.fault

    @contextlib.contextmanager
    def request_in_flight(self) -> Iterator[None]:
        """Count a request as in flight within the context."""
        self.waiting_for += 1
        try:
            yield
        finally:
            self.waiting_for -= 1
            self._replied.set()
            self._replied = asyncio.Event()


class Servers:
    """The servers that can still be reached."""

    def __init__(self, teacher: ChatModel) -> None:
        from nsad_cli.teachers.openai_client import ChatClient

        settings = teacher.settings
        urls: list[str | None] = [*settings.base_url] or [None]
        self.reachable: list[Server] = []
        for url in urls:
            client = ChatClient(url, teacher.key or "none", settings.timeout)
            limits = settings.requests_per_minute, settings.tokens_per_minute
            limiter = RateLimiter(settings.concurrency, *limits, self._note_slow(client.base_url))
            self.reachable.append(Server(client, limiter))
        self._all = tuple(self.reachable)
        self.last_answer = asyncio.get_running_loop().time()
        """The event loop's time, in seconds, of the last usable reply of any server."""

    @staticmethod
    def _note_slow(url: str) -> Callable[[float], None]:
        """Make a function that shows once that requests wait for the recipe's limits."""
        noted: list[str] = []

        def show(interval: float) -> None:
            if not noted:
                noted.append(url)
                note(f"{url}: requests wait for the recipe's limits, about one every {wait_in_words(interval)}")

        return show

    def least_busy(self) -> Server:
        """The server to send the next request to."""
        return min(self.reachable, key=lambda server: (server.misses, server.limiter.in_flight))

    def record_answer(self, server: Server) -> None:
        """Note that a server has returned a usable reply."""
        server.answered, server.misses, server.fault = True, 0, ""
        server.limiter.answered()
        self.last_answer = asyncio.get_running_loop().time()

    @property
    def waiting_for(self) -> int:
        """Requests that were sent to any server and have no reply yet."""
        return sum(server.waiting_for for server in self._all)

    def drop(self, server: Server, reason: NsadError) -> bool:
        """Send no more requests to a server that refuses all of them, with a note, unless it is the last one.

        Returns:
            Whether another server is left.
        """
        if all(other is server for other in self.reachable):
            return False
        if server in self.reachable:
            self.reachable.remove(server)
            note(f"{reason.what} ({reason.why}): it gets no more requests, the other servers go on")
        return True

    async def close(self) -> None:
        """Close all clients."""
        for server in self._all:
            await server.client.close()

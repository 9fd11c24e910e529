"""Draws that have arrived are stored in groups: while one group waits for the disk, the next one gathers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nsad_cli.teachers.base import StagedReceiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.types import Draw

GROUP_SECONDS = 0.01
"""The shortest time between two commits; a reply that arrives when none is in progress is committed at once."""


class Arrivals:
    """Groups draws, since each commit waits for the disk; requests are sent and replies are read meanwhile.

    Args:
        on_draws: Receives the groups; see Teacher.draw and StagedReceiver.
    """

    def __init__(self, on_draws: Callable[[list[Draw]], None]) -> None:
        self._receiver = on_draws if isinstance(on_draws, StagedReceiver) else _InOneStage(on_draws)
        self._unwritten: list[Draw] = []
        self._uncounted: list[tuple[list[Draw], int]] = []
        """Groups that are written, and wait for the disk, with the number of their draws that are new."""
        self._next: asyncio.Future[None] | None = None
        """Done when the draws that are not written yet have been stored."""
        self._storing: asyncio.Task[None] | None = None

    async def stored(self, draws: list[Draw]) -> None:
        """Add draws and wait until they are stored; draws that cannot be stored are kept for the next attempt."""
        self._unwritten += draws
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_groups())
        await asyncio.shield(self._next)

    def store(self) -> None:
        """Store what is not stored yet."""
        self._write()
        if self._uncounted:
            self._receiver.sync()
            self._count()

    async def _store_groups(self) -> None:
        """Store one group after the other, until nothing is waiting."""
        loop = asyncio.get_running_loop()
        try:
            while (waiting := self._next) is not None:
                self._next, earliest = None, loop.time() + GROUP_SECONDS
                try:
                    self._write()
                    await loop.run_in_executor(None, self._receiver.sync)
                    self._count()
                except Exception as error:
                    waiting.set_exception(error)
                    waiting.exception()  # retrieved: all its waiters may have been cancelled
                else:
                    waiting.set_result(None)
                await asyncio.sleep(earliest - loop.time())
        finally:
            self._storing = None

    def _write(self) -> None:
        if self._unwritten:
            self._uncounted.append((list(self._unwritten), self._receiver.write(list(self._unwritten))))
            self._unwritten.clear()

    def _count(self) -> None:
        while self._uncounted:
            self._receiver.count(*self._uncounted.pop(0))


class _InOneStage(StagedReceiver):
    """A callback that stores draws by itself."""

    def __init__(self, on_draws: Callable[[list[Draw]], None]) -> None:
        self._on_draws = on_draws

    def write(self, draws: list[Draw]) -> int:
        self._on_draws(draws)
        return len(draws)

    def sync(self) -> None:
        """Do nothing: the draws are stored."""

    def count(self, draws: list[Draw], new: int) -> None:
        """Do nothing: the draws are counted."""

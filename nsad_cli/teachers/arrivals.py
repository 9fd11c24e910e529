"""Draws that have arrived are written in groups, and wait for the disk while requests are sent and replies are read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nsad_cli.teachers.base import StagedReceiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.types import Draw


class Arrivals:
    """Writes the draws that arrive in one turn of the event loop together, and synchronises the disk in a thread.

    Args:
        on_draws: Receives the groups; see Teacher.draw and StagedReceiver.
        most_unsynced: The number of replies that may wait for the disk; above it, `stored` waits for the disk too.
    """

    def __init__(self, on_draws: Callable[[list[Draw]], None], most_unsynced: int) -> None:
        self._receiver = on_draws if isinstance(on_draws, StagedReceiver) else _InOneStage(on_draws)
        self._most_unsynced = most_unsynced
        self._unwritten: list[list[Draw]] = []
        self._write_done: asyncio.Future[None] | None = None
        """Done when the draws that are not written yet have been."""
        self._unsynced = 0
        """Replies that are written, and wait for the disk."""
        self._syncing: asyncio.Task[None] | None = None

    async def stored(self, draws: list[Draw]) -> None:
        """Add the draws of a reply and wait until they are written, so that they survive the end of this process.

        Draws that cannot be written are kept for the next attempt.

        Raises:
            NsadError: They cannot be written, or the disk has reported an error.
        """
        self._unwritten.append(draws)
        if self._write_done is None:
            loop = asyncio.get_running_loop()
            self._write_done = loop.create_future()
            loop.call_soon(self._write_group)
        await asyncio.shield(self._write_done)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
            self._syncing.add_done_callback(lambda task: task.cancelled() or task.exception())  # retrieved
        syncing = self._syncing
        if syncing.done() or self._unsynced > self._most_unsynced:
            await asyncio.shield(syncing)

    def store(self) -> None:
        """Write what is not written yet, and wait for the disk."""
        self._write()
        if self._unsynced:
            self._receiver.sync()
            self._unsynced = 0
            self._receiver.synced()

    async def _sync(self) -> None:
        """Wait for the disk, again and again while replies arrive; an error is raised by the next call of `stored`."""
        loop = asyncio.get_running_loop()
        while waiting := self._unsynced:
            await loop.run_in_executor(None, self._receiver.sync)
            self._unsynced = max(0, self._unsynced - waiting)
            self._receiver.synced()
        self._syncing = None

    def _write_group(self) -> None:
        done, self._write_done = self._write_done, None
        assert done is not None
        try:
            self._write()
        except Exception as error:
            done.set_exception(error)
            done.exception()  # retrieved: all its waiters may have been cancelled
        else:
            done.set_result(None)

    def _write(self) -> None:
        if self._unwritten:
            self._receiver.write([draw for draws in self._unwritten for draw in draws])
            self._unsynced += len(self._unwritten)
            self._unwritten.clear()


class _InOneStage(StagedReceiver):
    """A callback that stores draws by itself."""

    def __init__(self, on_draws: Callable[[list[Draw]], None]) -> None:
        self._on_draws = on_draws

    def write(self, draws: list[Draw]) -> None:
        self._on_draws(draws)

    def sync(self) -> None:
        """Do nothing: the draws are stored."""

    def synced(self) -> None:
        """Do nothing."""

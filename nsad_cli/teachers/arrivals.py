"""Draws that have arrived: those of one turn of the event loop are stored together, in one commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.types import Draw


class Arrivals:
    """Groups draws that arrive at the same time, since each commit waits for the disk."""

    def __init__(self, on_draws: Callable[[list[Draw]], None]) -> None:
        self._on_draws = on_draws
        self._unstored: list[Draw] = []
        self._commit: asyncio.Future[None] | None = None
        """Done when the draws that are waiting have been committed."""

    async def stored(self, draws: list[Draw]) -> None:
        """Add draws and wait until they are stored; draws that cannot be stored are kept for the next attempt."""
        self._unstored += draws
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            loop.call_soon(self._store_group)
        await asyncio.shield(self._commit)

    def store(self) -> None:
        """Store what is not stored yet."""
        if self._unstored:
            self._on_draws(list(self._unstored))
            self._unstored.clear()

    def _store_group(self) -> None:
        commit, self._commit = self._commit, None
        assert commit is not None
        try:
            self.store()
        except Exception as error:
            commit.set_exception(error)
            commit.exception()  # retrieved: all its waiters may have been cancelled
        else:
            commit.set_result(None)

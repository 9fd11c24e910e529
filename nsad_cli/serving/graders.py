"""Checkers of answers in threads: a comparison that takes seconds delays its own request only."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from nsad_cli.grading.chains import grade_chains
from nsad_cli.grading.checker import Checker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Chain

MAX_THREADS = 4


class Graders:
    """Grades the chains of questions without a gold answer; for one event loop."""

    def __init__(self) -> None:
        count = min(MAX_THREADS, os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(count, "grading")
        self._free: asyncio.Queue[Checker] = asyncio.Queue()
        self._checkers = ExitStack()
        for _ in range(count):
            self._free.put_nowait(self._checkers.enter_context(Checker(workers=1)))

    async def grade(self, chains: Sequence[Chain], *, wait: bool) -> list[Chain]:
        """Return chains in order of index with their answers and answer classes.

        Args:
            chains: The chains of one question.
            wait: Whether to wait for comparisons that take long; else they count as different for now.
        """
        ordered = sorted(chains, key=lambda chain: chain.index)
        checker, loop = await self._free.get(), asyncio.get_running_loop()
        # Shielded: the thread of a cancelled request goes on, and frees the checker at its end.
        return await asyncio.shield(loop.run_in_executor(self._threads, self._grade, ordered, checker, wait, loop))

    def _grade(self, chains: list[Chain], checker: Checker, wait: bool, loop: asyncio.AbstractEventLoop) -> list[Chain]:
        try:
            return grade_chains(chains, "", checker, wait=wait)
        finally:
            checker.forget()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._free.put_nowait, checker)

    def close(self) -> None:
        """End the threads and the checkers' processes."""
        self._threads.shutdown(wait=True)
        self._checkers.close()

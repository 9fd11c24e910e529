"""Heartbeats: a thread renews what a process has recorded in a database, while the process is busy with other work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from nsad_cli.errors import NsadError
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

HEARTBEAT_SECONDS = 20.0
"""Time between two heartbeats."""
LEASE_SECONDS = 6 * HEARTBEAT_SECONDS
"""Time without a heartbeat after which a process that cannot be checked from here counts as ended."""

MISSED_UNTIL_NOTE = 3
"""Consecutive heartbeats that fail before this is noted."""


class Heartbeat:
    """Calls a function every HEARTBEAT_SECONDS, in a thread of its own, until it is stopped.

    Args:
        beat: The function; it must not use a connection of another thread. If it raises NsadError, it is called again
            at the next heartbeat, and after a few times the error is noted.
    """

    def __init__(self, beat: Callable[[], object]) -> None:
        self._beat, self._stopped = beat, threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> Self:
        """Start the thread; the first call is after HEARTBEAT_SECONDS."""
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop, after a call that has begun."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        missed = 0
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            try:
                self._beat()
                missed = 0
            except NsadError as error:
                missed += 1
                if missed == MISSED_UNTIL_NOTE:
                    note(f"warning: no heartbeat: {error}; after {LEASE_SECONDS:.0f} s other hosts take over")

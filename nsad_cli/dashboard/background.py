"""Work that takes longer than a frame: a generator that runs in a thread, whose items a screen picks up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

from nsad_cli.errors import NsadError

T = TypeVar("T")


class Background(Generic[T]):
    """Runs a generator at once; it stops at its next item where it is cancelled, and holds up no exit."""

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self.error: NsadError | OSError | None = None
        self._make, self._items, self._cancelled = make, SimpleQueue[T](), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether more may come."""
        return self._thread.is_alive() or not self._items.empty()

    def cancel(self) -> None:
        """Let it end; nothing more of it is wanted."""
        self._cancelled = True

    def take(self) -> list[T]:
        """What has come since the last time."""
        found = []
        while not self._items.empty():
            found.append(self._items.get())
        return found

    def _run(self) -> None:
        try:
            for item in self._make():
                if self._cancelled:
                    return
                self._items.put(item)
        except (NsadError, OSError) as error:
            self.error = error
        except Exception as error:  # a thread's end is seen by nobody: what a damaged store gives is told as well
            self.error = NsadError("it cannot be read", f"{type(error).__name__}: {error}", "check the store")

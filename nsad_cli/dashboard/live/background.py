"""Background tasks: a generator runs in a thread, and its items are passed to callbacks on the screen's thread."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from nsad_cli.errors import NsadError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.message_pump import MessagePump

T = TypeVar("T")


class BackgroundTask(Generic[T]):
    """A generator that runs in a daemon thread, started at once; if cancelled, it stops at its next item.

    Args:
        pump: Calls the callbacks on its own thread.
        produce: Returns the generator.
        on_item: Called with each item.
        on_end: Called at the end, with the error that ended the generator or None.
    """

    def __init__(
        self,
        pump: MessagePump,
        produce: Callable[[], Iterator[T]],
        on_item: Callable[[T], None],
        on_end: Callable[[NsadError | None], None],
    ) -> None:
        self.running = True
        """Whether more items may be delivered."""
        self._pump, self._produce, self._on_item, self._on_end = pump, produce, on_item, on_end
        threading.Thread(target=self._run, daemon=True).start()

    def cancel(self) -> None:
        """Stop the task; no callback is called any more."""
        self.running = False

    def _run(self) -> None:
        error: NsadError | None = None
        try:
            for item in self._produce():
                if not self.running:
                    return
                self._call(self._deliver_item, item)
        except NsadError as error_raised:
            error = error_raised
        except OSError as error_raised:
            error = NsadError("cannot read the file", str(error_raised), "the dashboard tries again")
        except Exception as error_raised:
            # An exception in a thread would go unnoticed, for example one caused by a damaged store.
            error = NsadError(
                "cannot read the file", f"{type(error_raised).__name__}: {first_line(error_raised)}", "check the store"
            )
        self._call(self._deliver_end, error)

    def _call(self, callback: Callable[..., None], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # the dashboard and its event loop may have ended
            self._pump.call_later(callback, *values)

    def _deliver_item(self, item: T) -> None:
        if self.running:
            self._on_item(item)

    def _deliver_end(self, error: NsadError | None) -> None:
        if self.running:
            self.running = False
            self._on_end(error)

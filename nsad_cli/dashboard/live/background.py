"""Work that takes longer than a frame: a generator that runs in a thread, whose items come to a screen."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from nsad_cli.errors import NsadError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.message_pump import MessagePump

T = TypeVar("T")


class Background(Generic[T]):
    """Runs a generator at once, in a thread that holds up no exit; it stops at its next item where it is cancelled.

    take gets each item, end at last what went wrong, if anything did: both are called on the screen's own thread.
    """

    def __init__(
        self,
        pump: MessagePump,
        produce: Callable[[], Iterator[T]],
        on_item: Callable[[T], None],
        on_end: Callable[[NsadError | None], None],
    ) -> None:
        self.running = True
        """Whether more may come."""
        self._pump, self._produce, self._on_item, self._on_end = pump, produce, on_item, on_end
        threading.Thread(target=self._run, daemon=True).start()

    def cancel(self) -> None:
        """Let it end; nothing more of it comes."""
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
            error = NsadError("it cannot be read", str(error_raised), "it is tried again")
        except (
            Exception
        ) as error_raised:  # a thread's end is seen by nobody: what a damaged store gives is told as well
            error = NsadError(
                "it cannot be read", f"{type(error_raised).__name__}: {first_line(error_raised)}", "check the store"
            )
        self._call(self._deliver_end, error)

    def _call(self, callback: Callable[..., None], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # the dashboard has ended meanwhile, and its loop with it
            self._pump.call_later(callback, *values)

    def _deliver_item(self, item: T) -> None:
        if self.running:
            self._on_item(item)

    def _deliver_end(self, error: NsadError | None) -> None:
        if self.running:
            self.running = False
            self._on_end(error)

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
        screen: MessagePump,
        make: Callable[[], Iterator[T]],
        take: Callable[[T], None],
        end: Callable[[NsadError | None], None],
    ) -> None:
        self.running = True
        """Whether more may come."""
        self._screen, self._make, self._take, self._end = screen, make, take, end
        threading.Thread(target=self._run, daemon=True).start()

    def cancel(self) -> None:
        """Let it end; nothing more of it comes."""
        self.running = False

    def _run(self) -> None:
        error: NsadError | None = None
        try:
            for item in self._make():
                if not self.running:
                    return
                self._call(self._taken, item)
        except NsadError as found:
            error = found
        except OSError as found:
            error = NsadError("it cannot be read", str(found), "it is tried again")
        except Exception as found:  # a thread's end is seen by nobody: what a damaged store gives is told as well
            error = NsadError("it cannot be read", f"{type(found).__name__}: {first_line(found)}", "check the store")
        self._call(self._ended, error)

    def _call(self, what: Callable[..., None], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # the dashboard has ended meanwhile, and its loop with it
            self._screen.call_later(what, *values)

    def _taken(self, item: T) -> None:
        if self.running:
            self._take(item)

    def _ended(self, error: NsadError | None) -> None:
        if self.running:
            self.running = False
            self._end(error)

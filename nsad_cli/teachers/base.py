"""The Teacher protocol and its requests; every source of rationales implements it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.types import Draw, Problem

Usage = tuple[int, int] | None
"""Prompt and completion tokens that a reply was charged for; None if it does not state them."""


def _always_retry(_draws: int, _usage: Usage) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Request:
    """A request for draws of one problem."""

    problem: Problem
    indices: tuple[int, ...]
    may_retry: Callable[[int, Usage], bool] = _always_retry
    """Called after a reply without draws, with the number of draws requested and the reply's usage.

    Returns whether the budget allows another attempt.
    """


class SharedRequests(Iterator[Request]):
    """Requests for draws of a store that other processes may draw for at the same time."""

    @abstractmethod
    def max_in_flight(self) -> int:
        """Compute how many draws an engine may have in flight, so that the other processes get their part."""


def max_in_flight(requests: Iterable[Request]) -> Callable[[], int]:
    """Return a function that computes how many draws of these requests may be in flight; see SharedRequests."""
    return requests.max_in_flight if isinstance(requests, SharedRequests) else lambda: sys.maxsize


class StagedReceiver(ABC):
    """A receiver of draws that can do other work while it waits for the disk.

    It may be called as any other receiver; then the draws are on the disk when the call returns.
    """

    def __call__(self, draws: list[Draw]) -> None:
        """Store draws."""
        self.write(draws)
        self.sync()
        self.synced()

    @abstractmethod
    def write(self, draws: list[Draw]) -> None:
        """Write draws, so that they survive the end of this process but not yet a power cut."""

    @abstractmethod
    def sync(self) -> None:
        """Wait until everything that is written is on the disk; may be called in another thread."""

    @abstractmethod
    def synced(self) -> None:
        """Report what is on the disk; called after `sync`."""


class Teacher(Protocol):
    """A source of rationales."""

    name: str
    params: dict[str, Any]
    """Everything that affects the content of draws, such as sampling parameters and prompt; part of a draw's key."""

    def problems(self) -> list[Problem] | None:
        """Return the problems of a recorded teacher; None for a teacher that answers any problem."""

    def draw(
        self,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        """Answer requests.

        Args:
            requests: The requests. Taking one from the iterable claims its draws, so a teacher takes a request only
                when it can start on it.
            on_draws: Receives draws as soon as they arrive, and has stored them when it returns.
            on_failure: Receives a problem whose draws cannot be had, and the reason.

        Raises:
            NsadError: No request can be answered: there is no key, server or model.
        """

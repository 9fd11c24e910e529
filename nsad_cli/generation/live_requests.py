"""Chains that are requested and cancelled while an engine samples: the queue between a server and its engine."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsad_cli.generation.sampler import Sampling, Task


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A task with all that an engine needs to start on it.

    Attributes:
        task: The requested chains; its `problem_id` is unique among the requests of an engine.
        prompt: The prompt's token ids.
        sampling: The sampling parameters.
        seed: The seed.
    """

    task: Task
    prompt: list[int]
    sampling: Sampling
    seed: str


class LiveRequests:
    """A queue of requests that other threads fill and one engine empties."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._new: list[LiveRequest] = []
        self._cancelled: set[str] = set()
        self._closed = False

    def put(self, request: LiveRequest) -> None:
        """Add a request."""
        with self._changed:
            self._new.append(request)
            self._changed.notify()

    def cancel(self, problem_id: str) -> None:
        """Drop the chains of a request; those that are being sampled free their rows."""
        with self._changed:
            self._new = [request for request in self._new if request.task.problem_id != problem_id]
            self._cancelled.add(problem_id)
            self._changed.notify()

    def close(self) -> None:
        """Let the engine end once it has finished what was requested."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self, *, wait: bool) -> tuple[list[LiveRequest], set[str]]:
        """Return new requests, and the ids of requests that were cancelled; each is returned once.

        Args:
            wait: Whether to wait until there is one or the queue is closed.
        """
        with self._changed:
            while wait and not (self._new or self._cancelled or self._closed):
                self._changed.wait()
            found = self._new, self._cancelled
            self._new, self._cancelled = [], set()
            return found

    @property
    def closed(self) -> bool:
        """Whether no more requests will come."""
        with self._changed:
            return self._closed and not self._new

"""Requests whose draws are claimed a few problems at a time, so that several processes share a store's work."""

from __future__ import annotations

import math
import sys
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

from nsad_cli.store.claims import BATCH, this_process
from nsad_cli.teachers.base import Request, SharedRequests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.collection.budget import Budget
    from nsad_cli.store.claims import IsAlive
    from nsad_cli.store.rationales import Store
    from nsad_cli.teachers.base import Teacher, Usage
    from nsad_cli.types import Problem

MAX_PROBLEMS_PER_CLAIM = 16
"""The most problems whose draws are claimed in one transaction."""
CLAIMS_PER_ROUND = 16
"""At most one of this many parts of the remaining problems is claimed at once: near the end, claims become smaller."""
MIN_IN_FLIGHT = 8
"""Draws that a process may have in flight, however many processes share the rest."""


class Claimant(Protocol):
    """What claims need of a collection."""

    problems: dict[str, Problem]
    store: Store
    budget: Budget | None
    params: str

    @property
    def teacher(self) -> Teacher:
        """The teacher whose draws are claimed."""

    def may_retry(self, problem: Problem, draws: int, usage: Usage) -> bool:
        """Charge a reply without draws; see Request.may_retry."""


class ClaimedRequests(SharedRequests):
    """An iterator of requests for missing draws, until all are claimed or the budget allows no more.

    Args:
        collection: The collection that claims.
        missing: The numbers of missing draws by problem id.
        is_alive: Whether the owner of another claim may still be at work.
    """

    def __init__(self, collection: Claimant, missing: Mapping[str, tuple[int, ...]], is_alive: IsAlive) -> None:
        self._collection, self._is_alive = collection, is_alive
        self._missing, self._granted = deque(missing.items()), deque[Request]()
        self._returned: Request | None = None
        self._unclaimed = sum(map(len, missing.values()))
        self._sharing: int | None = None
        """See `sharing`; None: not counted since the last claim."""
        self.claimed_by_others = 0
        """Missing draws that other processes had claimed when this one tried to."""
        self.out_of_money = False
        """Whether the budget has ended the requests."""

    def __next__(self) -> Request:
        if (returned := self._returned) is not None:
            self._returned = None
            return returned
        while self._missing and not self._granted and not self.out_of_money:
            self._claim()
        if not self._granted or self.out_of_money:
            raise StopIteration
        request, budget = self._granted.popleft(), self._collection.budget
        problem = request.problem
        if budget is not None and not budget.admit(problem.id, request.indices, problem.question):
            self.out_of_money = True
            raise StopIteration
        return request

    def put_back(self, request: Request) -> None:
        """Return a request that was taken last, and not started; it is the next one."""
        self._returned = request

    def sharing(self) -> int:
        """Count the living processes that had claims on the teacher's draws at the last claim, this one included."""
        if self._sharing is None:
            claims, mine = self._collection.store.claims, this_process()
            owners = claims.owners(self._collection.teacher.name, self._collection.params)
            others = {owner: since for owner, since in owners.items() if owner != mine and not owner.startswith(BATCH)}
            self._sharing = 1 + sum(self._is_alive(owner, since) for owner, since in others.items())
        return self._sharing

    def max_in_flight(self) -> int:
        """See SharedRequests: half of an equal share of what is left, so that all find work until the end."""
        if (sharing := self.sharing()) == 1:
            return sys.maxsize
        left = self._unclaimed + sum(len(request.indices) for request in self._granted)
        return max(MIN_IN_FLIGHT, math.ceil(left / (2 * sharing)))

    def _claim(self) -> None:
        """Claim the draws of the next problems."""
        collection, self._sharing = self._collection, None
        size = min(MAX_PROBLEMS_PER_CLAIM, math.ceil(len(self._missing) / CLAIMS_PER_ROUND))
        part = [self._missing.popleft() for _ in range(size)]
        granted = collection.store.claims.acquire(
            collection.teacher.name, collection.params, part, this_process(), self._is_alive
        )
        for (pid, wanted), numbers in zip(part, granted, strict=True):
            self._unclaimed -= len(wanted)
            self.claimed_by_others += len(wanted) - len(numbers)
            problem = collection.problems[pid]
            if numbers:
                self._granted.append(Request(problem, numbers, partial(collection.may_retry, problem)))

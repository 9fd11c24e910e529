"""Collecting draws by a teacher's batch API; a process may be killed at any time without paying for a draw twice.

A batch is recorded in the store, where it holds the claims on its draws, before it is submitted with its local id as a
token. If a process ends in between, the next one looks for the token at the API to find out if the batch exists.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from nsad_cli.collection.batch_lines import BatchLine, batch_lines, split_into_batches
from nsad_cli.collection.batch_replies import ReplyReader
from nsad_cli.collection.claimed_requests import ClaimedRequests
from nsad_cli.collection.collect import Collection, CollectSummary, Progress
from nsad_cli.errors import NsadError
from nsad_cli.store.claims import is_alive, this_process
from nsad_cli.store.records import UNSENT, Batch
from nsad_cli.teachers.batch_api import MAX_REQUESTS, BatchApi, BatchState, UnreachableError
from nsad_cli.utils.logs import note
from nsad_cli.utils.rate_limit import NOTED_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.collection.budget import Budget
    from nsad_cli.store.rationales import Store
    from nsad_cli.teachers.openai import OpenAITeacher
    from nsad_cli.types import Problem

MAX_ATTEMPTS = 3
"""Number of batches in which a draw may fail or expire before its problem is reported as failed."""
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 1.0, 60.0
"""Shortest and longest time between polls of the batches."""
MAX_MISSED_POLLS = 20
"""Consecutive polls without an answer after which the API counts as unreachable."""
UNSENT_LEASE_SECONDS = 3600.0
"""Seconds that a process of another host, which sends no heartbeat for a batch, may need to submit it."""
QUEUE_LIMIT_CODE = "token_limit_exceeded"
"""The error code of a batch that exceeds the account's limit of queued prompt tokens, together with other batches."""


def collect_batches(
    problems: Sequence[Problem],
    teacher: OpenAITeacher,
    draws: int,
    store: Store,
    on_progress: Progress = lambda *_, **__: None,
    *,
    budget: Budget | None = None,
    summary: CollectSummary | None = None,
) -> CollectSummary:
    """Collect as `collect` does, by batches: first read those in flight, then submit what is missing.

    If the call is interrupted, submitted batches continue at the API, and a later call reads them. Draws that fail or
    expire are submitted again, in up to MAX_ATTEMPTS batches.

    Args:
        problems: The problems.
        teacher: The teacher.
        draws: Draws per problem.
        store: The store that draws go to.
        on_progress: Receives progress.
        budget: Ends the collection before its limit could be exceeded.
        summary: A summary to continue.

    Raises:
        NsadError: The API refuses a batch, or does not answer for a long time.
    """
    store.add_problems(problems)
    collection = _BatchCollection(problems, teacher, store, on_progress, budget, summary or CollectSummary())
    return collection.run(draws)


class _BatchCollection(Collection):
    """One call of `collect_batches`."""

    teacher: OpenAITeacher

    def run(self, draws: int) -> CollectSummary:
        """Poll, submit and wait until no batch is in flight and nothing more can be submitted."""
        self.api = BatchApi(self.teacher)
        self.reader = ReplyReader(self.api, self.teacher, self.problems, self.budget)
        self.attempts: Counter[tuple[str, int]] = Counter()
        """Failed attempts at a draw, by problem id and number."""
        self.max_requests = MAX_REQUESTS
        """Requests per batch; below MAX_REQUESTS after the queue limit was hit, and then one batch at a time."""
        self.claimed_by_others = 0
        """Missing draws that other processes had claimed when this one tried to."""
        self._reserve_open_batches()
        self._missing(draws)
        misses, pause, in_flight, answered = 0, FIRST_POLL_SECONDS, 0, 0
        while True:
            try:
                before = in_flight
                in_flight, answered = self._poll()
                missing = self._missing(draws)
                if self.max_requests == MAX_REQUESTS or not in_flight:
                    in_flight += self._submit_missing(missing)
                    self._missing(draws)
                misses, pause = 0, pause if in_flight == before else FIRST_POLL_SECONDS
            except UnreachableError as error:
                misses += 1
                if misses > MAX_MISSED_POLLS:
                    raise
                if pause > NOTED_WAIT_SECONDS:
                    note(f"{error.what} ({error.why}): trying again in {pause:.0f} s ({misses} of {MAX_MISSED_POLLS})")
            self.report(batches=in_flight, answered=answered)
            if not (misses or in_flight or self.claimed_by_others):
                return self.summary
            time.sleep(pause)
            pause = min(MAX_POLL_SECONDS, 1.5 * pause)

    def _open_batches(self) -> list[Batch]:
        return self.store.batches.unfinished(self.teacher.name, self.params, self.api.base_url)

    def _held_draws(self) -> dict[str, dict[int, str]]:
        return self.store.batches.held_draws(self.teacher.name, self.params)

    def _reserve_open_batches(self) -> None:
        """Reserve the cost of batches that earlier commands submitted: this command charges for them."""
        if self.budget is not None and (held := self._held_draws()):
            questions = {problem.id: problem.question for problem in self.store.problems()}
            for pid, numbers in held.items():
                self.budget.reserve(pid, numbers, questions.get(pid, ""))

    def _release_budget(self) -> None:
        """Release what is reserved for draws that no open batch holds."""
        if self.budget is not None:
            held = {(pid, number) for pid, numbers in self._held_draws().items() for number in numbers}
            self.budget.release_except(held)

    # --- submitting -----------------------------------------------------------------------------------------------

    def _submit_missing(self, missing: dict[str, tuple[int, ...]]) -> int:
        """Submit batches for missing draws until the budget allows no more; returns their number."""
        requests, submitted = ClaimedRequests(self, missing, self.owners.is_alive), 0
        with self.store.claims.renewed(this_process()):
            try:
                for part in split_into_batches(batch_lines(requests, self.teacher), self.max_requests):
                    self._submit(part)
                    submitted += 1
                    if self.max_requests < MAX_REQUESTS:
                        break
            finally:
                self.claimed_by_others, self.summary.out_of_money = requests.claimed_by_others, requests.out_of_money
                self.store.claims.release(this_process())
                self._release_budget()
        return submitted

    def _submit(self, lines: list[BatchLine]) -> None:
        batch = Batch(UNSENT + uuid.uuid4().hex, tuple(line.custom_id for line in lines), this_process(), time.time())
        draws = [(line.problem_id, number) for line in lines for number in line.numbers]
        self.store.batches.add(batch, self.teacher.name, self.params, self.api.base_url, draws)
        try:
            batch_id = self.api.submit(b"".join(line.blob for line in lines), batch.id, self.params)
        except UnreachableError:
            raise  # the batch may exist: the next poll looks for it
        except NsadError:
            self.store.batches.close(batch.id)
            raise
        self.store.batches.change_id(batch.id, batch_id)

    # --- reading --------------------------------------------------------------------------------------------------

    def _poll(self) -> tuple[int, int]:
        """Read the batches that have ended.

        Returns:
            The number of batches in flight, and the number of their requests that have been answered.

        Raises:
            NsadError: The API does not know a batch, whose draws may have been charged for; raised after the other
                batches were read.
        """
        in_flight = answered = 0
        unknown: list[Batch] = []
        for recorded in self._open_batches():
            others = not recorded.sent and recorded.owner != this_process()
            if others and is_alive(recorded.owner, recorded.created, UNSENT_LEASE_SECONDS):
                in_flight += 1  # another process is about to submit it
                continue
            batch = recorded if recorded.sent else self._find(recorded)
            if batch is None:
                continue
            state = self.api.state(batch.id)
            if state is None:
                unknown.append(batch)
            elif state.ended:
                self._read(batch, state)
            else:
                in_flight += 1
                answered += state.answered
        if unknown:
            raise self._unknown_batch(unknown[0])
        return in_flight, answered

    def _find(self, batch: Batch) -> Batch | None:
        """Look for a batch at the API that may have been submitted; if it was not, close it and return None."""
        batch_id = self.api.find(batch.id, batch.created)
        if batch_id is None:
            self.store.batches.close(batch.id)
            self._release_budget()
            return None
        self.store.batches.change_id(batch.id, batch_id)
        return replace(batch, id=batch_id)

    def _unknown_batch(self, batch: Batch) -> NsadError:
        draws = sum(len(BatchLine.from_custom_id(key).numbers) for key in batch.lines)
        return NsadError(
            f"{self.api.base_url} does not know the batch {batch.id}",
            f"it was made with another account's key, or deleted there; its {draws} draws may have been charged",
            f"use the key that it was made with, or request and pay for them again with --abandon-batch {batch.id}",
        )

    def _read(self, batch: Batch, state: BatchState) -> None:
        """Store the draws of an ended batch and close it; missing draws are free to be requested again, or failed."""
        held = {
            (pid, number)
            for pid, numbers in self._held_draws().items()
            for number in numbers
            if numbers[number] == batch.id
        }
        outcome = self.reader.read(batch, state, held, self.receiver)
        self._remove_copies()
        self.store.batches.close(batch.id)
        self._release_budget()
        over_queue_limit = state.code == QUEUE_LIMIT_CODE and len(batch.lines) > 1
        if over_queue_limit:
            self.max_requests = max(1, len(batch.lines) // 2)
        if outcome.error is not None:
            raise outcome.error
        cancelled = state.status == "cancelled"
        default_reason = f"the batch {batch.id} {_ending(state)}"
        for line in map(BatchLine.from_custom_id, batch.lines):
            missing = [(line.problem_id, number) for number in line.numbers if (line.problem_id, number) in held]
            if not (over_queue_limit or line.custom_id in outcome.uncounted):
                self.attempts.update(missing)
            attempts = max((self.attempts[draw] for draw in missing), default=0)
            if (
                line.problem_id in self.problems
                and missing
                and (cancelled or line.custom_id in outcome.permanent or attempts >= MAX_ATTEMPTS)
            ):
                self._fail(self.problems[line.problem_id], outcome.reasons.get(line.custom_id, default_reason))


def _ending(state: BatchState) -> str:
    if state.status == "completed":
        return "was completed without a reply to this"
    if state.status == "failed":
        return f"failed: {state.reason}"
    return state.status if state.status == "expired" else f"was {state.status}"

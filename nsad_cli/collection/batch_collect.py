"""Problems × batches of a teacher's API → store: handed over, waited for, and taken in once, whoever is killed when.

A batch is noted in the store, and holds the claims on its draws, before the API hears of it. The API is told our own
token with it: whoever comes after a process that died in between looks for that token, and nothing is paid twice.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from nsad_cli.collection.batch_lines import BatchLine, batch_lines, split_into_batches
from nsad_cli.collection.batch_replies import ReplyReader
from nsad_cli.collection.collect import Collection, CollectSummary, Progress
from nsad_cli.errors import NsadError
from nsad_cli.store.claims import is_alive, this_process
from nsad_cli.store.records import UNSENT, Batch
from nsad_cli.teachers.batch_api import MAX_REQUESTS, BatchApi, State, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.collection.budget import Budget
    from nsad_cli.store.rationales import Store
    from nsad_cli.teachers.openai import OpenAITeacher
    from nsad_cli.types import Problem

MAX_ATTEMPTS = 3
"""Batches that a draw may fail or expire in."""
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 1.0, 60.0
"""Seconds between looks at the batches: at first, and in the end."""
MAX_MISSED_POLLS = 20
"""Looks in a row at an API that does not answer."""
TOO_MUCH_WAITS = "token_limit_exceeded"
"""Why a batch fails where its prompts and those of others exceed what an account may have waiting."""


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
    """As `collect`, by batches: first those under way are taken in, then what is missing is handed over.

    Interrupted, it leaves the batches to the API; called again it goes on with them. What fails or expires there is
    handed over again, TRIES times in all. Raises NsadError where the API refuses, or does not answer for long.
    """
    store.add_problems(problems)
    work = _BatchCollection(problems, teacher, store, on_progress, budget, summary or CollectSummary())
    return work.run(draws)


class _BatchCollection(Collection):
    """One call of `collect_batches`."""

    teacher: OpenAITeacher

    def run(self, draws: int) -> CollectSummary:
        """Look, hand over, wait, until nothing is under way and nothing more can be handed over."""
        self.api = BatchApi(self.teacher)
        self.reader = ReplyReader(self.api, self.teacher, self.problems, self.budget)
        self.tries: Counter[tuple[str, int]] = Counter()
        self.most = MAX_REQUESTS
        """Requests of one batch; fewer, and one batch at a time, once the API has had too many."""
        self._reserve()
        self._missing(draws)
        misses, pause, under_way, answered = 0, FIRST_POLL_SECONDS, 0, 0
        while True:
            try:
                before = under_way
                under_way, answered = self._look()
                missing = self._missing(draws)
                if self.most == MAX_REQUESTS or not under_way:
                    under_way += self._hand_over(missing)
                    self._missing(draws)
                misses, pause = 0, pause if under_way == before else FIRST_POLL_SECONDS
            except UnreachableError:
                misses += 1
                if misses > MAX_MISSED_POLLS:
                    raise
            self._report(batches=under_way, answered=answered)
            if not (misses or under_way or self.others):
                return self.summary
            time.sleep(pause)
            pause = min(MAX_POLL_SECONDS, 1.5 * pause)

    def _open(self) -> list[Batch]:
        return self.store.batches.unfinished(self.teacher.name, self.params, self.api.base_url)

    def _held(self) -> dict[str, dict[int, str]]:
        return self.store.batches.held_draws(self.teacher.name, self.params)

    def _reserve(self) -> None:
        """Batches of earlier commands will be paid now."""
        if self.budget is not None and (held := self._held()):
            questions = {problem.id: problem.question for problem in self.store.problems()}
            for pid, numbers in held.items():
                self.budget.reserve(pid, numbers, questions.get(pid, ""))

    def _settle(self) -> None:
        """Nothing is under way but what batches hold."""
        if self.budget is not None:
            self.budget.keep_reserved({(pid, number) for pid, numbers in self._held().items() for number in numbers})

    # --- handing over ---------------------------------------------------------------------------------------------

    def _hand_over(self, missing: dict[str, tuple[int, ...]]) -> int:
        """Make batches of what is missing, for as long as the money lasts; returns how many."""
        self.others, self.summary.out_of_money, made = 0, False, 0
        try:
            for part in split_into_batches(batch_lines(self._claimed(missing), self.teacher), self.most):
                self._send(part)
                made += 1
                if self.most < MAX_REQUESTS:
                    break
        finally:
            self.store.claims.release(this_process())
            self._settle()
        return made

    def _send(self, lines: list[BatchLine]) -> None:
        batch = Batch(UNSENT + uuid.uuid4().hex, tuple(line.custom_id for line in lines), this_process(), time.time())
        draws = [(line.problem_id, number) for line in lines for number in line.numbers]
        self.store.batches.add(batch, self.teacher.name, self.params, self.api.base_url, draws)
        try:
            known = self.api.submit(b"".join(line.blob for line in lines), batch.id, self.params)
        except UnreachableError:
            raise  # it may have been made: that is looked up before anything else is
        except NsadError:
            self.store.batches.close(batch.id)
            raise
        self.store.batches.change_id(batch.id, known)

    # --- taking in ------------------------------------------------------------------------------------------------

    def _look(self) -> tuple[int, int]:
        """Take in the batches that have ended; how many have not, and how many requests these have answered.

        Raises NsadError, at the end, for one that the API does not know: its draws may be paid already.
        """
        under_way = answered = 0
        strange: list[Batch] = []
        for batch in self._open():
            if not batch.sent and batch.owner != this_process() and is_alive(batch.owner, batch.created):
                under_way += 1  # another process is about to hand it over
                continue
            if not batch.sent:
                known = self.api.find(batch.id, batch.created)
                if known is None:  # whoever planned it died, or gave up, before the API heard of it
                    self.store.batches.close(batch.id)
                    self._settle()
                    continue
                self.store.batches.change_id(batch.id, known)
                batch = replace(batch, id=known)
            state = self.api.state(batch.id)
            if state is None:
                strange.append(batch)
            elif state.ended:
                self._take(batch, state)
            else:
                under_way += 1
                answered += state.answered
        if strange:
            raise self._unknown(strange[0])
        return under_way, answered

    def _unknown(self, batch: Batch) -> NsadError:
        draws = sum(len(BatchLine.from_custom_id(key).numbers) for key in batch.lines)
        return NsadError(
            f"{self.api.base_url} does not know the batch {batch.id}",
            f"it was made with another account's key, or deleted there; its {draws} draws may be paid",
            f"use the key that it was made with, or have them asked and paid anew with --abandon-batch {batch.id}",
        )

    def _take(self, batch: Batch, state: State) -> None:
        """Store a batch's draws and close it; what it lacks is free to be asked again, or has failed."""
        held = {
            (pid, number) for pid, numbers in self._held().items() for number in numbers if numbers[number] == batch.id
        }
        outcome = self.reader.read(batch, state, held, self._keep)
        self.store.batches.close(batch.id)
        self._settle()
        too_much = state.code == TOO_MUCH_WAITS and len(batch.lines) > 1
        if too_much:
            self.most = max(1, len(batch.lines) // 2)
        if outcome.error is not None:
            raise outcome.error
        lost = state.status == "cancelled"
        said = f"the batch {batch.id} {_ending(state)}"
        for line in map(BatchLine.from_custom_id, batch.lines):
            lacking = [(line.problem_id, number) for number in line.numbers if (line.problem_id, number) in held]
            if not (too_much or line.custom_id in outcome.uncounted):
                self.tries.update(lacking)
            tried = max((self.tries[draw] for draw in lacking), default=0)
            if (
                line.problem_id in self.problems
                and lacking
                and (lost or line.custom_id in outcome.permanent or tried >= MAX_ATTEMPTS)
            ):
                self._fail(self.problems[line.problem_id], outcome.reasons.get(line.custom_id, said))


def _ending(state: State) -> str:
    if state.status == "completed":
        return "was completed without a reply to this"
    if state.status == "failed":
        return f"failed: {state.why}"
    return state.status if state.status == "expired" else f"was {state.status}"

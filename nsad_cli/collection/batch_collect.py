"""Problems × batches of a teacher's API → store: handed over, waited for, and taken in once, whoever is killed when.

A batch is noted in the store, and holds the claims on its draws, before the API hears of it. The API is told our own
token with it: whoever comes after a process that died in between looks for that token, and nothing is paid twice.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nsad_cli.collection.collect import Collection, CollectSummary, Progress
from nsad_cli.errors import NsadError
from nsad_cli.store.claims import is_alive, this_process
from nsad_cli.store.records import UNSENT, Batch
from nsad_cli.teachers.batch_api import ENDPOINT, MAX_BYTES, MAX_REQUESTS, BatchApi, LineError, State, UnreachableError
from nsad_cli.teachers.openai_chat import MAX_SAMPLES_PER_REQUEST, draws_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nsad_cli.collection.budget import Budget
    from nsad_cli.store.rationales import Store
    from nsad_cli.teachers.base import Request
    from nsad_cli.teachers.openai import OpenAITeacher
    from nsad_cli.types import Draw, Problem

MAX_ATTEMPTS = 3
"""Batches that a draw may fail or expire in."""
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 1.0, 60.0
"""Seconds between looks at the batches: at first, and in the end."""
MAX_MISSED_POLLS = 20
"""Looks in a row at an API that does not answer."""
KEPT_AT_ONCE = 500
"""Draws in one commit."""
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


@dataclass
class _Line:
    """A request of a batch; its custom id names the problem and its draws."""

    problem: str
    numbers: tuple[int, ...]
    blob: bytes = b""

    @property
    def key(self) -> str:
        """At most 64 characters, says the API."""
        return f"{self.problem}:{self.numbers[0]}:{len(self.numbers)}"

    @classmethod
    def of(cls, key: str) -> _Line:
        """The line of a custom id."""
        problem, first, count = key.rsplit(":", 2)
        return cls(problem, tuple(range(int(first), int(first) + int(count))))


@dataclass
class _Taken:
    """What a batch's files say: `why` a line brought less than all, which of them to give up, and which count."""

    why: dict[str, str] = field(default_factory=dict)
    hopeless: set[str] = field(default_factory=set)
    free: set[str] = field(default_factory=set)
    """Lines to ask again in another way: no try of theirs is used up."""
    error: NsadError | None = None
    """What concerns every draw."""


class _BatchCollection(Collection):
    """One call of `collect_batches`."""

    teacher: OpenAITeacher

    def run(self, draws: int) -> CollectSummary:
        """Look, hand over, wait, until nothing is under way and nothing more can be handed over."""
        self.api = BatchApi(self.teacher)
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
            for part in _parts(self._lines(self._claimed(missing)), self.most):
                self._send(part)
                made += 1
                if self.most < MAX_REQUESTS:
                    break
        finally:
            self.store.claims.release(this_process())
            self._settle()
        return made

    def _lines(self, requests: Iterable[Request]) -> Iterator[_Line]:
        """Requests for draws whose numbers follow each other, up to AT_ONCE of them."""
        size = MAX_SAMPLES_PER_REQUEST if self.teacher.many else 1
        for request in requests:
            for _, group in groupby(enumerate(request.indices), key=lambda item: item[1] - item[0]):
                numbers = tuple(number for _, number in group)
                for start in range(0, len(numbers), size):
                    line = _Line(request.problem.id, numbers[start : start + size])
                    body = self.teacher.body(request.problem, len(line.numbers))
                    asked = {"custom_id": line.key, "method": "POST", "url": ENDPOINT, "body": body}
                    line.blob = json.dumps(asked).encode() + b"\n"
                    yield line

    def _send(self, lines: list[_Line]) -> None:
        batch = Batch(UNSENT + uuid.uuid4().hex, tuple(line.key for line in lines), this_process(), time.time())
        draws = [(line.problem, number) for line in lines for number in line.numbers]
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
        draws = sum(len(_Line.of(key).numbers) for key in batch.lines)
        return NsadError(
            f"{self.api.base_url} does not know the batch {batch.id}",
            f"it was made with another account's key, or deleted there; its {draws} draws may be paid",
            f"use the key that it was made with, or have them asked and paid anew with --give-up {batch.id}",
        )

    def _take(self, batch: Batch, state: State) -> None:
        """Store a batch's draws and close it; what it lacks is free to be asked again, or has failed."""
        held = {
            (pid, number) for pid, numbers in self._held().items() for number in numbers if numbers[number] == batch.id
        }
        taken = self._read(batch, state, held)
        self.store.batches.close(batch.id)
        self._settle()
        too_much = state.code == TOO_MUCH_WAITS and len(batch.lines) > 1
        if too_much:
            self.most = max(1, len(batch.lines) // 2)
        if taken.error is not None:
            raise taken.error
        lost = state.status == "cancelled"
        said = f"the batch {batch.id} {_ending(state)}"
        for line in map(_Line.of, batch.lines):
            lacking = [(line.problem, number) for number in line.numbers if (line.problem, number) in held]
            if not (too_much or line.key in taken.free):
                self.tries.update(lacking)
            tried = max((self.tries[draw] for draw in lacking), default=0)
            if (
                line.problem in self.problems
                and lacking
                and (lost or line.key in taken.hopeless or tried >= MAX_ATTEMPTS)
            ):
                self._fail(self.problems[line.problem], taken.why.get(line.key, said))

    def _read(self, batch: Batch, state: State, held: set[tuple[str, int]]) -> _Taken:
        """Store what a batch's files bring and take it out of `held`; a second reading brings nothing new."""
        taken, lines, arrived = _Taken(), set(batch.lines), []
        settings = dict(self.teacher.sent)  # as the batch was asked, before any of its errors changes them
        for value in self._replies(batch, state, taken):
            key = value.get("custom_id")
            if key not in lines:
                continue
            try:
                draws = self._draws(_Line.of(key), value)
            except LineError as error:
                self._judge(_Line.of(key), error, settings, taken)
                continue
            new = [draw for draw in draws if (draw.problem_id, draw.index) in held]
            held -= {(draw.problem_id, draw.index) for draw in new}
            arrived += new
            if len(arrived) >= KEPT_AT_ONCE:
                self._keep(arrived)
                arrived = []
        if arrived:
            self._keep(arrived)
        return taken

    def _replies(self, batch: Batch, state: State, taken: _Taken) -> Iterator[dict[str, Any]]:
        try:
            for name in state.files:
                yield from self.api.replies(name)
        except LookupError:  # asked again, it would be paid again: that is for the user to say
            taken.hopeless |= set(batch.lines)
            taken.why |= dict.fromkeys(batch.lines, f"the replies to the batch {batch.id} are no longer there")

    def _draws(self, line: _Line, value: dict[str, Any]) -> list[Draw]:
        """The draws that a line of a file brings.

        Raises LineError where it brings none.
        """
        from openai.types.chat import ChatCompletion

        response = value.get("response") or {}
        status, body = response.get("status_code"), response.get("body") or {}
        if status != 200:
            raise LineError(status, body.get("error") or value.get("error") or {})
        try:
            draws = draws_of(ChatCompletion.construct(**body), self.teacher.name, line.problem, line.numbers)
        except (ValueError, TypeError, AttributeError) as error:
            raise LineError(None, {"message": f"not a chat completion: {error}"}) from None
        if not draws:
            if self.budget is not None:
                question = self.problems[line.problem].question if line.problem in self.problems else ""
                self.budget.lose(question, len(line.numbers), usage_of(ChatCompletion.construct(**body)))
            raise LineError(None, {"message": "an empty reply"})
        if len(draws) == 1 < len(line.numbers):
            self.teacher.many = False
        return draws

    def _judge(self, line: _Line, error: LineError, settings: dict[str, Any], taken: _Taken) -> None:
        """Whether a line that failed is asked again: in another way, in the same, or not."""
        taken.why[line.key] = self.teacher.scrub(error)
        status = error.status or 0
        if status == 400:
            try:
                gives_way = self.teacher.give_way(error, settings)
            except NsadError as refused:
                taken.error = refused
                return
            if not gives_way and len(line.numbers) > 1:
                self.teacher.many, gives_way = False, True  # perhaps it does not know `n`
            (taken.free if gives_way else taken.hopeless).add(line.key)
        elif 400 < status < 500 and status not in (408, 409, 429):
            taken.hopeless.add(line.key)


def _parts(lines: Iterable[_Line], most: int) -> Iterator[list[_Line]]:
    """Lines in batches of at most `most` requests and MOST_BYTES."""
    part: list[_Line] = []
    size = 0
    for line in lines:
        if part and (len(part) == most or size + len(line.blob) > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line.blob)
    if part:
        yield part


def _ending(state: State) -> str:
    if state.status == "completed":
        return "was completed without a reply to this"
    if state.status == "failed":
        return f"failed: {state.why}"
    return state.status if state.status == "expired" else f"was {state.status}"

"""Collecting draws of problems from a teacher into the store; only missing draws are requested, by one process each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nsad_cli.collection.claimed_requests import ClaimedRequests
from nsad_cli.store.claims import OwnerWatch, is_alive, this_process
from nsad_cli.teachers.base import StagedReceiver, Teacher, Usage
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import note
from nsad_cli.utils.rate_limit import NOTED_WAIT_SECONDS

if TYPE_CHECKING:
    from nsad_cli.collection.budget import Budget
    from nsad_cli.config.schema import UntilConfig
    from nsad_cli.store.rationales import Store
    from nsad_cli.types import Draw, Problem

POLL_SECONDS = 0.5
"""Time between checks of draws that other processes have claimed."""
YIELD_SECONDS = 0.002
"""Pause after a commit while other processes draw: SQLite has no queue of writers, so a quick one starves others."""
INCOMPLETE_KEYS = ("failed", "out_of_money", "in_batches")
"""Keys of a collection's stored result that are set if draws are still missing."""
Progress = Callable[..., None]
"""A callback with the draws stored, the draws wanted, the tokens used by this command, and further numbers by name.

`spent` and `projected` are given if the price is known.
"""


@dataclass
class CollectSummary:
    """The result of a collection."""

    stored: int = 0
    """Draws in the store."""
    new: int = 0
    """Draws that this command added."""
    tokens: int = 0
    """Prompt and completion tokens that this command used."""
    failures: dict[str, str] = field(default_factory=dict)
    """Reasons by problem id."""
    out_of_money: bool = False
    """Whether the budget's limit ended the collection."""
    in_batches: int = 0
    """Draws in open batches."""
    constant: set[str] = field(default_factory=set)
    """Problems whose samples are all identical, so that only one is stored, by id; no more are requested."""


def collect(
    problems: Sequence[Problem],
    teacher: Teacher,
    draws: int,
    store: Store,
    on_progress: Progress = lambda *_, **__: None,
    *,
    budget: Budget | None = None,
    summary: CollectSummary | None = None,
) -> CollectSummary:
    """Collect until every problem has `draws` draws by this teacher with its parameters.

    A draw is claimed before it is requested and stored as soon as it arrives. A later call requests only missing draws.
    Draws that another process has claimed are waited for.

    Args:
        problems: The problems.
        teacher: The teacher.
        draws: Draws per problem.
        store: The store that draws go to.
        on_progress: Receives progress.
        budget: Ends the collection before its limit could be exceeded.
        summary: A summary to continue.

    Raises:
        NsadError: The teacher cannot be used at all.
    """
    store.add_problems(problems)
    collection = Collection(problems, teacher, store, on_progress, budget, summary or CollectSummary())
    return collection.run(draws)


def collect_until(
    problems: Sequence[Problem],
    teacher: Teacher,
    draws: int,
    until: UntilConfig,
    store: Store,
    grade_new: Callable[[], object],
    on_progress: Progress = lambda *_, **__: None,
    *,
    budget: Budget | None = None,
    summary: CollectSummary | None = None,
    gather: Callable[..., CollectSummary] = collect,
) -> CollectSummary:
    """Collect as `collect` does, then one more draw at a time for problems with too few correct or wrong rationales.

    Problems with a bad gold answer are left out. The collection also ends while draws are in open batches.

    Args:
        problems: The problems.
        teacher: The teacher.
        draws: Draws per problem to start with.
        until: The number of rationales of each side to reach, and the maximum number of draws.
        store: The store that draws go to.
        grade_new: Grades all new draws.
        on_progress: Receives progress.
        budget: Ends the collection before its limit could be exceeded.
        summary: A summary to continue.
        gather: `collect`, or a function with the same signature.
    """
    params, open_problems, finished = params_key(teacher), list(problems), 0
    summary = summary or CollectSummary()

    def report(done: int, total: int, *rest: int, **money: float) -> None:
        on_progress(finished + done, finished + total, *rest, **money)

    for number in range(draws, max(draws, until.max_draws) + 1):
        gather(open_problems, teacher, number, store, report, budget=budget, summary=summary)
        grade_new()
        needing = store.needing_draws(teacher.name, params, until.positives, until.negatives)
        closed = summary.failures.keys() | summary.constant
        open_problems = [item for item in open_problems if item.id in needing and item.id not in closed]
        counts = store.draw_counts(teacher.name, params)
        total = sum(counts.get(item.id, 0) for item in problems)
        finished = total - sum(counts.get(item.id, 0) for item in open_problems)
        if not open_problems or summary.out_of_money or summary.in_batches:
            break
    summary.stored = total
    return summary


def params_key(teacher: Teacher) -> str:
    """Hash everything that affects the content of a teacher's draws."""
    return content_key("draws", teacher.params)


def unrequested_draws(
    store: Store, problems: Mapping[str, Problem], draws: int, teacher: Teacher
) -> tuple[int, int, dict[str, tuple[int, ...]]]:
    """Find the draws that are neither stored nor in an open batch.

    Returns:
        The number of stored draws, the number of draws in open batches, and the numbers of all others by problem id.
    """
    params = params_key(teacher)
    missing, held = store.missing(problems, draws, teacher.name, params), store.batches.held_draws(teacher.name, params)
    constant = store.copies.constant_problems(teacher.name, params)
    copies = sum(len(numbers) for pid, numbers in missing.items() if pid in constant)
    missing = {pid: numbers for pid, numbers in missing.items() if pid not in constant}
    unrequested = {pid: tuple(n for n in numbers if n not in held.get(pid, {})) for pid, numbers in missing.items()}
    missing_count, unrequested_count = (sum(map(len, found.values())) for found in (missing, unrequested))
    return len(problems) * draws - copies - missing_count, missing_count - unrequested_count, unrequested


class Collection:
    """One call of `collect`."""

    def __init__(
        self,
        problems: Sequence[Problem],
        teacher: Teacher,
        store: Store,
        on_progress: Progress,
        budget: Budget | None,
        summary: CollectSummary,
    ) -> None:
        self.problems = {problem.id: problem for problem in problems}
        self.teacher, self.store, self.budget, self.summary = teacher, store, budget, summary
        self.params, self.on_progress = params_key(teacher), on_progress
        self.total = 0
        """Draws wanted, over all problems."""
        self.owners, self.requests = OwnerWatch(), ClaimedRequests(self, {}, is_alive)
        self.receiver = _Receiver(self)
        self.added: dict[str, dict[int, int]] = {}
        """Hashes of the texts that this call has stored, by problem id and number."""

    def run(self, draws: int) -> CollectSummary:
        """Collect in rounds until no draw is missing that could still arrive."""
        missing, polls = self._missing(draws), 0
        self.report()
        while missing:
            before = self.summary.new
            requests, started = self._draw(missing)
            self._remove_copies()
            if self.budget is not None:
                self.budget.release_all()
            others = requests.claimed_by_others
            if not others and (not self.summary.out_of_money or self.summary.new == before):
                break
            if not started:
                self.report(waiting=others)
                polls += 1
                if polls * POLL_SECONDS == NOTED_WAIT_SECONDS:
                    note(f"waiting for {others} draws of other processes, until they arrive or those end")
                time.sleep(POLL_SECONDS)
            else:
                polls = 0
            missing = self._missing(draws)
            self.report(waiting=None)
        return self.summary

    def _draw(self, missing: Mapping[str, tuple[int, ...]]) -> tuple[ClaimedRequests, bool]:
        """Request missing draws; returns the requests, and whether there was any that the teacher was asked for."""
        self.summary.out_of_money, owner = False, this_process()
        self.requests = requests = ClaimedRequests(self, missing, self.owners.is_alive)
        with self.store.claims.renewed(owner):
            try:
                if (first := next(requests, None)) is not None:  # a teacher may be slow to start
                    requests.put_back(first)
                    self.teacher.draw(requests, self.receiver, self._fail)
            finally:
                self.store.claims.release(owner)
                self.summary.out_of_money = self.summary.out_of_money or requests.out_of_money
        return requests, first is not None

    def _missing(self, draws: int) -> dict[str, tuple[int, ...]]:
        """Find the draws to request, except those of failed problems, and update the summary's counts."""
        self.total = len(self.problems) * draws
        self.summary.stored, self.summary.in_batches, unrequested = unrequested_draws(
            self.store, self.problems, draws, self.teacher
        )
        closed = self.summary.failures.keys() | self.summary.constant
        return {pid: numbers for pid, numbers in unrequested.items() if numbers and pid not in closed}

    def count(self, arrived: list[Draw], new: int) -> None:
        """Count and charge draws that have arrived, of which `new` are new."""
        self.summary.stored += new
        self.summary.new += new
        for draw in arrived:
            self.added.setdefault(draw.problem_id, {})[draw.index] = hash(draw.text)
            usage = draw.prompt_tokens, draw.completion_tokens
            self.summary.tokens += sum(usage)
            if self.budget is not None:
                question = self.problems[draw.problem_id].question if draw.problem_id in self.problems else ""
                self.budget.charge_draw(draw.problem_id, draw.index, question, usage if any(usage) else None)

    def _remove_copies(self) -> None:
        """Keep one draw of each problem whose draws are all identical, if the teacher was asked to sample."""
        added, self.added = self.added, {}
        if not getattr(self.teacher, "expects_distinct_samples", False):
            return
        suspects = {pid: tuple(texts) for pid, texts in added.items() if len(set(texts.values())) == 1}
        removed = self.store.copies.remove(self.teacher.name, self.params, suspects) if suspects else {}
        if removed:
            copies = sum(removed.values())
            self.summary.constant |= removed.keys()
            self.summary.stored -= copies
            self.summary.new -= copies
            note(
                f"warning: the samples of {len(removed)} problems by `{self.teacher.name}` are identical, although the "
                f"temperature is above 0: one of each is kept, {copies} copies are removed"
            )

    def may_retry(self, problem: Problem, draws: int, usage: Usage) -> bool:
        """Charge a reply without draws; see Request.may_retry."""
        if self.budget is None:
            return True
        self.budget.charge(problem.question, draws, usage)
        self.summary.out_of_money = self.summary.out_of_money or not self.budget.allows()
        return self.budget.allows()

    def _fail(self, problem: Problem, reason: str) -> None:
        self.summary.failures[problem.id] = reason

    def report(self, **more: float | None) -> None:
        """Report progress, and costs if the price is known."""
        money: dict[str, float] = {}
        if self.budget is not None and self.budget.price is not None and self.summary.new:
            spent = self.budget.spent
            missing = self.total - self.summary.stored
            money = {"spent": round(spent, 6), "projected": round(spent * (1 + missing / self.summary.new), 6)}
            if self.budget.unsure:
                money["unsure"] = round(self.budget.unsure, 6)
        self.on_progress(self.summary.stored, self.total, self.summary.tokens, **money, **more)


class _Receiver(StagedReceiver):
    """Stores the draws that arrive in one collection."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __call__(self, draws: list[Draw]) -> None:
        collection = self._collection
        collection.count(draws, collection.store.add_draws(draws, collection.params))
        self.synced()
        if collection.requests.sharing() > 1:
            time.sleep(YIELD_SECONDS)

    def write(self, draws: list[Draw]) -> None:
        collection = self._collection
        collection.count(draws, collection.store.add_draws(draws, collection.params, durable=False))

    def sync(self) -> None:
        self._collection.store.sync()

    def synced(self) -> None:
        self._collection.report()

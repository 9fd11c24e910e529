"""Problems × teacher → store: only the draws that are not there yet are asked for, each by one process alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from nsad_cli.store.claims import is_alive, this_process
from nsad_cli.teachers.base import Request, Teacher, Usage
from nsad_cli.utils.hashing import content_key

if TYPE_CHECKING:
    from nsad_cli.collection.budget import Budget
    from nsad_cli.config.schema import UntilConfig
    from nsad_cli.store.rationales import Store
    from nsad_cli.types import Draw, Problem

CLAIMED_AT_ONCE = 16
"""Problems whose draws are claimed in one commit."""
PAUSE = 0.5
"""Seconds between looks at what other processes are at work on."""
LEFT_OVER = ("failed", "out_of_money", "in_batches")
"""What the result of a run's collection says of draws that are still to be had."""
Progress = Callable[..., None]
"""Draws stored, draws wanted, tokens used now, and `spent` and `projected` where the price is known."""


@dataclass
class CollectSummary:
    """What a collection came to: draws in the store, how many of them are new, what they cost, problems that failed."""

    stored: int = 0
    new: int = 0
    tokens: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """Why, by a problem's id."""
    out_of_money: bool = False
    in_batches: int = 0
    """Draws that are left to open batches."""


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
    """Draw until every problem has `draws` rationales by this teacher and its parameters.

    A draw is claimed before it is asked for and committed when it arrives; running again asks for the missing ones
    alone, and draws that another process is at work on are waited for. budget: stops before it could be overdrawn.
    summary: one to go on with. Raises NsadError where the teacher cannot be used at all.
    """
    store.add_problems(problems)
    work = Collection(problems, teacher, store, on_progress, budget, summary or CollectSummary())
    return work.run(draws)


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
    gather: Callable[..., CollectSummary] = collect,
) -> CollectSummary:
    """As `collect`; then one draw more at a time for every problem that lacks right or wrong rationales.

    grade_new: gives every new draw its verdict. gather: `collect`, or what stands in for it. A problem whose gold
    answer is no good, or some of whose draws are left to a batch, is not drawn on.
    """
    params, summary, asked, settled = params_key(teacher), CollectSummary(), list(problems), 0

    def report(done: int, total: int, *rest: int, **money: float) -> None:
        on_progress(settled + done, settled + total, *rest, **money)

    for number in range(draws, max(draws, until.max_draws) + 1):
        gather(asked, teacher, number, store, report, budget=budget, summary=summary)
        grade_new()
        lacking = store.needing_draws(teacher.name, params, until.positives, until.negatives)
        asked = [item for item in asked if item.id in lacking and item.id not in summary.failures]
        drawn = store.draw_counts(teacher.name, params)
        settled = sum(drawn.get(item.id, 0) for item in problems) - sum(drawn.get(item.id, 0) for item in asked)
        if not asked or summary.out_of_money or summary.in_batches:
            break
    summary.stored = sum(drawn.get(item.id, 0) for item in problems)
    return summary


def params_key(teacher: Teacher) -> str:
    """Hash of all that shapes a teacher's draws."""
    return content_key("draws", teacher.params)


def unasked(
    store: Store, problems: Mapping[str, Problem], draws: int, teacher: Teacher
) -> tuple[int, int, dict[str, tuple[int, ...]]]:
    """How many of the draws wanted are stored, how many are left to open batches, and which are neither."""
    params = params_key(teacher)
    lacking, held = store.missing(problems, draws, teacher.name, params), store.batches.held_draws(teacher.name, params)
    left = {pid: tuple(n for n in numbers if n not in held.get(pid, {})) for pid, numbers in lacking.items()}
    unstored, free = (sum(map(len, found.values())) for found in (lacking, left))
    return len(problems) * draws - unstored, unstored - free, left


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
        self.total = self.others = 0

    def run(self, draws: int) -> CollectSummary:
        """Rounds of asking, until nothing is missing that somebody could still bring."""
        missing = self._missing(draws)
        self._report()
        while missing:
            self.others, self.summary.out_of_money, before = 0, False, self.summary.new
            requests = self._claimed(missing)
            try:
                if (first := next(requests, None)) is not None:  # a teacher may take long to start
                    self.teacher.draw(chain([first], requests), self._keep, self._fail)
            finally:
                self.store.claims.release(this_process())
            if self.budget is not None:
                self.budget.settle()
            if not self.others and (not self.summary.out_of_money or self.summary.new == before):
                break
            if first is None:
                self._report(waiting=self.others)
                time.sleep(PAUSE)
            missing = self._missing(draws)
            self._report(waiting=None)
        return self.summary

    def _missing(self, draws: int) -> dict[str, tuple[int, ...]]:
        """What is neither stored nor left to a batch; brings the summary's counts up to date."""
        self.total = len(self.problems) * draws
        self.summary.stored, self.summary.in_batches, left = unasked(self.store, self.problems, draws, self.teacher)
        return {pid: numbers for pid, numbers in left.items() if numbers and pid not in self.summary.failures}

    def _claimed(self, missing: Mapping[str, tuple[int, ...]]) -> Iterator[Request]:
        """Requests for what nobody else is at work on, claimed as they are taken, for as long as the money lasts."""
        waiting = iter(missing.items())
        while part := list(islice(waiting, CLAIMED_AT_ONCE)):
            granted = self.store.claims.acquire(self.teacher.name, self.params, part, this_process(), is_alive)
            for (pid, wanted), numbers in zip(part, granted, strict=True):
                self.others += len(wanted) - len(numbers)
                problem = self.problems[pid]
                if numbers and self.budget is not None and not self.budget.admit(pid, numbers, problem.question):
                    self.summary.out_of_money = True
                    return
                if numbers:
                    yield Request(problem, numbers, partial(self._again, problem))

    def _keep(self, arrived: list[Draw]) -> None:
        new = self.store.add_draws(arrived, self.params)
        self.summary.stored += new
        self.summary.new += new
        for draw in arrived:
            usage = draw.prompt_tokens, draw.completion_tokens
            self.summary.tokens += sum(usage)
            if self.budget is not None:
                question = self.problems[draw.problem_id].question if draw.problem_id in self.problems else ""
                self.budget.pay(draw.problem_id, draw.index, question, usage if any(usage) else None)
        self._report()

    def _again(self, problem: Problem, draws: int, usage: Usage) -> bool:
        """See Request.again."""
        if self.budget is None:
            return True
        self.budget.lose(problem.question, draws, usage)
        self.summary.out_of_money = self.summary.out_of_money or not self.budget.allows()
        return self.budget.allows()

    def _fail(self, problem: Problem, why: str) -> None:
        self.summary.failures[problem.id] = why

    def _report(self, **more: float | None) -> None:
        """Tell how far it is, and the money where its price is known."""
        money: dict[str, float] = {}
        if self.budget is not None and self.budget.price is not None and self.summary.new:
            spent = self.budget.spent
            lacking = self.total - self.summary.stored
            money = {"spent": round(spent, 6), "projected": round(spent * (1 + lacking / self.summary.new), 6)}
            if self.budget.unsure:
                money["unsure"] = round(self.budget.unsure, 6)
        self.on_progress(self.summary.stored, self.total, self.summary.tokens, **money, **more)

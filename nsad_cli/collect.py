"""Problems × teacher → store: only the draws that are not there yet are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nsad_cli.runs import content_key
from nsad_cli.store import Store
from nsad_cli.teachers.base import Request, Teacher
from nsad_cli.types import Draw, Problem


@dataclass
class CollectSummary:
    """What a collection came to: draws in the store, how many of them are new, and problems that failed."""

    stored: int = 0
    new: int = 0
    tokens: int = 0
    failures: list[str] = field(default_factory=list)


def collect(
    problems: Sequence[Problem],
    teacher: Teacher,
    draws: int,
    store: Store,
    on_progress: Callable[[int, int, int], None] = lambda *_: None,
) -> CollectSummary:
    """Draw until every problem has `draws` rationales by this teacher and its parameters.

    on_progress: draws stored, draws wanted, tokens used now. A draw is committed when it arrives; running again asks
    for the missing ones alone. Raises NsadError where the teacher cannot be used at all.
    """
    params = params_key(teacher)
    store.add_problems(problems)
    present = store.present(teacher.name, params)
    requests = [
        Request(problem, missing)
        for problem in problems
        if (missing := tuple(index for index in range(draws) if (problem.id, index) not in present))
    ]
    total = len(problems) * draws
    summary = CollectSummary(stored=total - sum(len(request.indices) for request in requests))
    on_progress(summary.stored, total, 0)

    def keep(arrived: list[Draw]) -> None:
        new = store.add_draws(arrived, params)
        summary.stored += new
        summary.new += new
        summary.tokens += sum(draw.prompt_tokens + draw.completion_tokens for draw in arrived)
        on_progress(summary.stored, total, summary.tokens)

    if requests:
        teacher.draw(requests, keep, lambda problem, why: summary.failures.append(f"{problem.id}: {why}"))
    return summary


def params_key(teacher: Teacher) -> str:
    """Hash of all that shapes a teacher's draws."""
    return content_key("draws", teacher.params)

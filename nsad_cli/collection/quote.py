"""What a collection would ask for and cost, before anything is sent: calls, tokens, money."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nsad_cli.collection.budget import CHAT_TOKENS, HOW_TO_PRICE, Price, price_of
from nsad_cli.collection.collect import params_key, unasked
from nsad_cli.collection.token_counts import counter
from nsad_cli.teachers.openai import OpenAITeacher
from nsad_cli.teachers.openai_chat import MAX_SAMPLES_PER_REQUEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import TeacherConfig
    from nsad_cli.store.rationales import Store
    from nsad_cli.teachers import Teacher
    from nsad_cli.types import Problem

SAMPLE = 500
"""Human solutions that stand for the length of draws."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What is expected, and what it can come to at most; None is unknown."""

    teacher: str
    batch: bool
    problems: int
    draws: int
    """Wanted, over all problems."""
    stored: int
    in_batches: int
    """Under way already."""
    to_ask: int
    to_ask_at_most: int
    """More than `to_ask` where draws go on until both sides are there."""
    requests: int = 0
    prompt_tokens: int = 0
    prompt_tokens_at_most: int = 0
    completion_tokens: int | None = 0
    completion_tokens_at_most: int = 0
    cost: float | None = 0.0
    cost_at_most: float | None = 0.0
    """US dollars."""
    price: Price | None = None
    prompts_by: str = ""
    completions_by: str = ""
    """How tokens were counted, in words; empty where nothing is sent."""

    @property
    def best_cost(self) -> float | None:
        """What is expected where that is known, else what it comes to at most."""
        return self.cost_at_most if self.cost is None else self.cost

    def cost_in_words(self) -> str:
        """What the cost rests on."""
        if self.cost_at_most is None or self.price is None:
            return f"what {self.teacher} costs is unknown: {HOW_TO_PRICE}"
        expected = f"${self.cost:.2f} expected, " if self.cost is not None else ""
        return f"{expected}${self.cost_at_most:.2f} at most ({self.price.source})"


def make_quote(settings: TeacherConfig, teacher: Teacher, problems: Sequence[Problem], store: Store) -> Quote:
    """Quote what `collect` would still ask a teacher for; what runs here, or is recorded, sends and costs nothing.

    Prompts: draws of a problem share a request, and so a prompt. At most: every draw asked for alone, with a token for
    each byte of its prompt, and as long as it may be; replies that are lost on the way and paid are not in it.
    """
    by_id, most = {problem.id: problem for problem in problems}, settings.draws
    if settings.until is not None:
        most = max(most, settings.until.max_draws)
    stored, held, missing = unasked(store, by_id, settings.draws, teacher)
    at_most = missing if most == settings.draws else unasked(store, by_id, most, teacher)[2]
    to_ask, to_ask_at_most = (sum(map(len, found.values())) for found in (missing, at_most))
    total = len(by_id) * settings.draws
    quote = Quote(teacher.name, settings.batch, len(by_id), total, stored, held, to_ask, to_ask_at_most)
    if not isinstance(teacher, OpenAITeacher):
        return quote
    count, prompts_by = counter(teacher.name)
    mean, seen = store.mean_tokens(teacher.name, params_key(teacher))
    completions_by = f"{mean:.0f} a draw, the mean of {seen:,} stored draws by {teacher.name}"
    if not seen and (solutions := [problem.solution for problem in problems if problem.solution][:SAMPLE]):
        mean, seen = sum(map(count, solutions)) / len(solutions), len(solutions)
        completions_by = f"about {mean:.0f} a draw, as in the benchmark's own solutions: no draw is stored yet"
    requests = {pid: math.ceil(len(numbers) / MAX_SAMPLES_PER_REQUEST) for pid, numbers in missing.items()}
    prompts = sum(times * sum(map(count, _said(teacher, by_id[pid]))) for pid, times in requests.items())
    bytes_at_most = sum(
        len(numbers) * sum(len(text.encode()) for text in _said(teacher, by_id[pid]))
        for pid, numbers in at_most.items()
    )
    quote = replace(
        quote,
        requests=sum(requests.values()),
        prompt_tokens=prompts + CHAT_TOKENS * sum(requests.values()),
        prompt_tokens_at_most=bytes_at_most + CHAT_TOKENS * to_ask_at_most,
        completion_tokens=round(mean * to_ask) if seen or not to_ask else None,
        completion_tokens_at_most=settings.max_tokens * to_ask_at_most,
        prompts_by=prompts_by,
        completions_by=completions_by
        if seen
        else f"unknown before a draw is stored; at most teacher.max_tokens ({settings.max_tokens}) each",
    )
    return _priced(quote, price_of(settings))


def _said(teacher: OpenAITeacher, problem: Problem) -> list[str]:
    return [message["content"] for message in teacher.body(problem, 1)["messages"]]


def _priced(quote: Quote, price: Price | None) -> Quote:
    if price is None:
        unknown = None if quote.to_ask_at_most else 0.0
        return replace(quote, cost=unknown, cost_at_most=unknown)
    expected = None if quote.completion_tokens is None else price.of(quote.prompt_tokens, quote.completion_tokens)
    at_most = price.of(quote.prompt_tokens_at_most, quote.completion_tokens_at_most)
    return replace(quote, price=price, cost=expected, cost_at_most=at_most)

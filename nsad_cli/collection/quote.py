"""Quotes: the requests, tokens and cost of a collection, estimated before anything is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nsad_cli.collection.budget import CHAT_TOKENS, HOW_TO_PRICE, Price, price_of
from nsad_cli.collection.collect import params_key, unrequested_draws
from nsad_cli.collection.token_counts import token_counter
from nsad_cli.teachers.openai import OpenAITeacher
from nsad_cli.teachers.openai_chat import MAX_SAMPLES_PER_REQUEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import TeacherConfig
    from nsad_cli.store.rationales import Store
    from nsad_cli.teachers import Teacher
    from nsad_cli.types import Problem

MAX_SOLUTIONS = 500
"""Number of human solutions whose length is the estimate for draws while none is stored."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Expected and maximum numbers of a collection; None is unknown."""

    teacher: str
    batch: bool
    problems: int
    draws: int
    """Draws wanted, over all problems."""
    stored: int
    in_batches: int
    """Draws in flight in open batches."""
    to_ask: int
    """Draws to request."""
    to_ask_at_most: int
    """More than `to_ask` if the recipe requests draws until both sides have enough (`teacher.until`)."""
    requests: int = 0
    prompt_tokens: int = 0
    prompt_tokens_at_most: int = 0
    completion_tokens: int | None = 0
    completion_tokens_at_most: int = 0
    cost: float | None = 0.0
    """The expected cost in US dollars."""
    cost_at_most: float | None = 0.0
    """The maximum cost in US dollars."""
    price: Price | None = None
    prompts_by: str = ""
    """How prompt tokens were counted; empty if nothing is sent."""
    completions_by: str = ""
    """How completion tokens were counted; empty if nothing is sent."""

    @property
    def best_cost(self) -> float | None:
        """The expected cost if it is known, else the maximum."""
        return self.cost_at_most if self.cost is None else self.cost

    def cost_in_words(self) -> str:
        """Describe the cost and the source of the price."""
        if self.cost_at_most is None or self.price is None:
            return f"the price of {self.teacher} is unknown: {HOW_TO_PRICE}"
        expected = f"${self.cost:.2f} expected, " if self.cost is not None else ""
        return f"{expected}${self.cost_at_most:.2f} at most ({self.price.source})"


def make_quote(settings: TeacherConfig, teacher: Teacher, problems: Sequence[Problem], store: Store) -> Quote:
    """Quote the draws that `collect` would still request.

    A local or recorded teacher sends and costs nothing. The expected numbers assume that draws of a problem share a
    request, and so its prompt. The maximum assumes one request per draw, one token for each byte of its prompt, and
    completions of maximum length; replies that are lost but charged for are not included.

    Args:
        settings: The teacher's settings.
        teacher: The teacher.
        problems: The problems to collect draws for.
        store: The store that they go to.
    """
    by_id, max_draws = {problem.id: problem for problem in problems}, settings.draws
    if settings.until is not None:
        max_draws = max(max_draws, settings.until.max_draws)
    stored, held, missing = unrequested_draws(store, by_id, settings.draws, teacher)
    at_most = missing if max_draws == settings.draws else unrequested_draws(store, by_id, max_draws, teacher)[2]
    to_ask, to_ask_at_most = (sum(map(len, found.values())) for found in (missing, at_most))
    total = len(by_id) * settings.draws
    quote = Quote(teacher.name, settings.batch, len(by_id), total, stored, held, to_ask, to_ask_at_most)
    if not isinstance(teacher, OpenAITeacher):
        return quote
    count, prompts_by = token_counter(teacher.name)
    mean, measured = store.mean_tokens(teacher.name, params_key(teacher))
    completions_by = f"{mean:.0f} per draw, the mean of {measured:,} stored draws by {teacher.name}"
    if not measured and (solutions := [item.solution for item in problems if item.solution][:MAX_SOLUTIONS]):
        mean, measured = sum(map(count, solutions)) / len(solutions), len(solutions)
        completions_by = f"about {mean:.0f} per draw, as in the benchmark's own solutions: no draw is stored yet"
    requests = {pid: math.ceil(len(numbers) / MAX_SAMPLES_PER_REQUEST) for pid, numbers in missing.items()}
    prompts = sum(times * sum(map(count, _messages(teacher, by_id[pid]))) for pid, times in requests.items())
    max_prompt_bytes = sum(
        len(numbers) * sum(len(text.encode()) for text in _messages(teacher, by_id[pid]))
        for pid, numbers in at_most.items()
    )
    quote = replace(
        quote,
        requests=sum(requests.values()),
        prompt_tokens=prompts + CHAT_TOKENS * sum(requests.values()),
        prompt_tokens_at_most=max_prompt_bytes + CHAT_TOKENS * to_ask_at_most,
        completion_tokens=round(mean * to_ask) if measured or not to_ask else None,
        completion_tokens_at_most=settings.max_tokens * to_ask_at_most,
        prompts_by=prompts_by,
        completions_by=completions_by
        if measured
        else f"unknown until a draw is stored; at most teacher.max_tokens ({settings.max_tokens}) each",
    )
    return _with_cost(quote, price_of(settings))


def _messages(teacher: OpenAITeacher, problem: Problem) -> list[str]:
    return [message["content"] for message in teacher.body(problem, 1)["messages"]]


def _with_cost(quote: Quote, price: Price | None) -> Quote:
    if price is None:
        unknown = None if quote.to_ask_at_most else 0.0
        return replace(quote, cost=unknown, cost_at_most=unknown)
    expected = None if quote.completion_tokens is None else price.of(quote.prompt_tokens, quote.completion_tokens)
    at_most = price.of(quote.prompt_tokens_at_most, quote.completion_tokens_at_most)
    return replace(quote, price=price, cost=expected, cost_at_most=at_most)

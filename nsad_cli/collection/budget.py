"""The cost of draws: prices per token, the amount spent, and a limit that is never exceeded."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nsad_cli.config.schema import PriceConfig, TeacherConfig
from nsad_cli.errors import UsageError
from nsad_cli.teachers import is_api

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from nsad_cli.teachers.base import Usage

MILLION = 1_000_000
THOUSAND = 1_000
BATCH_DISCOUNT = 0.5
"""The cost of a draw by the Batch API, as a fraction of its price."""
CHAT_TOKENS = 7
"""Tokens that the chat format adds to one message, for OpenAI's models."""
HOW_TO_PRICE = "set it with --set teacher.price.input=… --set teacher.price.output=… (US dollars per million tokens)"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per token, and the source of the figures."""

    input: float
    output: float
    source: str

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Compute a cost in US dollars."""
        return prompt_tokens * self.input + completion_tokens * self.output


def price_of(settings: TeacherConfig) -> Price | None:
    """Find the price of a teacher's tokens: the recipe's, else for OpenAI the one in genai-prices; None if unknown.

    Local models and other servers have no price unless the recipe sets one. With `batch` the price is halved.
    """
    configured = settings.price or PriceConfig()
    prices = [None if each is None else each / MILLION for each in (configured.input, configured.output)]
    source = "teacher.price"
    if None in prices:
        source = "genai-prices" if prices == [None, None] else "teacher.price and genai-prices"
        prices = [
            each if each is not None else listed for each, listed in zip(prices, _listed_prices(settings), strict=True)
        ]
    prompt_price, completion_price = prices
    if prompt_price is None or completion_price is None:
        return None
    if settings.batch:
        return Price(
            prompt_price * BATCH_DISCOUNT, completion_price * BATCH_DISCOUNT, f"{source}, half of it in a batch"
        )
    return Price(prompt_price, completion_price, source)


def _listed_prices(settings: TeacherConfig) -> tuple[float | None, float | None]:
    """Look up the prices of a prompt and a completion token in genai-prices, for a request of ordinary length."""
    if settings.base_url or os.environ.get("OPENAI_BASE_URL") or not is_api(settings.spec):
        return None, None
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    try:
        prompts = calc_price(Tokens(input_tokens=THOUSAND, output_tokens=0), settings.spec, provider_id="openai")
        completions = calc_price(Tokens(input_tokens=0, output_tokens=THOUSAND), settings.spec, provider_id="openai")
    except LookupError:
        return None, None
    return float(prompts.total_price) / THOUSAND, float(completions.total_price) / THOUSAND


@dataclass
class Budget:
    """The amount that one command has spent, and the maximum cost of its draws in flight, in US dollars.

    `admit` checks before a request is sent that its maximum cost fits under the limit: for each draw `max_tokens`, and
    a prompt of its own with one token per byte (no tokenizer makes more; some of MATH's questions have 1.4 bytes per
    token).
    """

    price: Price | None
    limit: float | None
    """None: no limit."""
    prompt: str
    """The prompt template, with {question}."""
    max_tokens: int
    spent: float = 0.0
    """The cost of replies that state their usage."""
    unsure: float = 0.0
    """The maximum cost of replies that were lost or do not state their usage."""
    _reserved: dict[tuple[str, int], float] = field(default_factory=dict)
    """The maximum cost of each draw in flight, by problem id and number."""
    _reserved_total: float = 0.0

    def __post_init__(self) -> None:
        if self.limit is not None and self.price is None:
            raise UsageError(
                "a cost limit requires a price",
                "the price of this teacher's tokens is unknown",
                HOW_TO_PRICE,
            )

    def admit(self, problem_id: str, numbers: tuple[int, ...], question: str) -> bool:
        """Reserve the maximum cost of a request if it fits under the limit.

        Returns:
            Whether it does.
        """
        if self.price is None or self.limit is None:
            return True
        if not self.allows(self.max_draw_cost(question) * len(numbers)):
            return False
        self.reserve(problem_id, numbers, question)
        return True

    def allows(self, additional: float = 0.0) -> bool:
        """Whether the amount spent, reserved and `additional` stays under the limit."""
        return self.limit is None or self.spent + self.unsure + self._reserved_total + additional <= self.limit

    def max_draw_cost(self, question: str) -> float:
        """Compute the maximum cost of one draw; 0 if the price is unknown."""
        prompt = self.prompt.replace("{question}", question).encode()
        return self.price.of(len(prompt) + CHAT_TOKENS, self.max_tokens) if self.price is not None else 0.0

    def reserve(self, problem_id: str, numbers: Iterable[int], question: str) -> None:
        """Reserve the maximum cost of draws in flight, whether it fits under the limit or not."""
        for number in numbers:
            self._release((problem_id, number))
            self._reserved[problem_id, number] = self.max_draw_cost(question)
            self._reserved_total += self._reserved[problem_id, number]

    def release_except(self, draws: Set[tuple[str, int]]) -> None:
        """Release what is reserved for all draws other than these."""
        for draw in self._reserved.keys() - draws:
            self._release(draw)

    def release_all(self) -> None:
        """Release everything that is reserved: no draw is in flight any more."""
        self._reserved.clear()
        self._reserved_total = 0.0

    def charge_draw(self, problem_id: str, number: int, question: str, usage: Usage) -> None:
        """Charge a draw that has arrived, and release what was reserved for it."""
        self._release((problem_id, number))
        self.charge(question, 1, usage)

    def charge(self, question: str, draws: int, usage: Usage) -> None:
        """Charge a reply to a request for `draws` draws: by its usage, or its maximum cost if that is unknown."""
        if self.price is not None and usage is not None:
            self.spent += self.price.of(*usage)
        else:
            self.unsure += draws * self.max_draw_cost(question)

    def _release(self, draw: tuple[str, int]) -> None:
        self._reserved_total -= self._reserved.pop(draw, 0.0)

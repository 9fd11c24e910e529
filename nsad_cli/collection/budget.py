"""What draws cost: prices per token, what was spent, and a limit that is never passed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nsad_cli.config.schema import PriceConfig, TeacherConfig
from nsad_cli.errors import UsageError
from nsad_cli.teachers import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from nsad_cli.teachers.base import Usage

MILLION = 1_000_000
THOUSAND = 1_000
BATCH_SHARE = 0.5
"""What a draw costs by the Batch API, as a share of its price."""
CHAT_TOKENS = 7
"""What a chat's form adds to the tokens of one message, with OpenAI's models."""
HOW_TO_PRICE = "say it with --set teacher.price.input=… --set teacher.price.output=… (US dollars per million tokens)"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per token, and where the figures come from."""

    input: float
    output: float
    source: str

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """The cost in US dollars."""
        return prompt_tokens * self.input + completion_tokens * self.output


def price_of(settings: TeacherConfig) -> Price | None:
    """The price of a teacher's tokens: the recipe's own, else genai-prices' for OpenAI; None where nobody knows.

    A server of one's own, or a model that runs here, has no price but the recipe's. With `batch` it is half of that.
    """
    own = settings.price or PriceConfig()
    parts = [None if each is None else each / MILLION for each in (own.input, own.output)]
    source = "teacher.price"
    if None in parts:
        listed = _listed(settings)
        source = "genai-prices" if parts == [None, None] else "teacher.price and genai-prices"
        parts = [each if each is not None else known for each, known in zip(parts, listed, strict=True)]
    given, made = parts
    if given is None or made is None:
        return None
    if settings.batch:
        return Price(given * BATCH_SHARE, made * BATCH_SHARE, f"{source}, half of it in a batch")
    return Price(given, made, source)


def _listed(settings: TeacherConfig) -> tuple[float | None, float | None]:
    """What genai-prices says of a token read and a token written, in a request that is not a long one."""
    if (
        settings.base_url
        or os.environ.get("OPENAI_BASE_URL")
        or settings.spec == "arithmetic"
        or settings.spec.partition(":")[0] in SCHEMES
    ):
        return None, None
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    try:
        given = calc_price(Tokens(input_tokens=THOUSAND, output_tokens=0), settings.spec, provider_id="openai")
        made = calc_price(Tokens(input_tokens=0, output_tokens=THOUSAND), settings.spec, provider_id="openai")
    except LookupError:
        return None, None
    return float(given.total_price) / THOUSAND, float(made.total_price) / THOUSAND


@dataclass
class Budget:
    """Dollars spent by one command, and those that draws under way may still cost at most.

    `admit` says beforehand whether a request fits under the limit at its worst: for every draw `max_tokens`, and a
    prompt of its own with a token a byte (no tokenizer makes more; MATH has questions with 1.4 bytes a token).
    """

    price: Price | None
    limit: float | None
    prompt: str
    """Around {question}."""
    max_tokens: int
    spent: float = 0.0
    """By the usage that replies state."""
    unsure: float = 0.0
    """At most, for replies that were lost after they were asked for, or that state no usage."""
    _reserved: dict[tuple[str, int], float] = field(default_factory=dict)
    _under_way: float = 0.0
    """The sum of what is reserved."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.price is None:
            raise UsageError(
                "a limit of cost needs a price",
                "nobody here knows what this teacher's tokens cost",
                HOW_TO_PRICE,
            )

    def admit(self, problem_id: str, numbers: tuple[int, ...], question: str) -> bool:
        """Reserve a request's worst cost; False, and nothing reserved, where that could pass the limit."""
        if self.price is None or self.limit is None:
            return True
        if not self.allows(self.worst(question) * len(numbers)):
            return False
        self.reserve(problem_id, numbers, question)
        return True

    def allows(self, more: float = 0.0) -> bool:
        """Whether what is spent and under way, with so many dollars more, stays under the limit at its worst."""
        return self.limit is None or self.spent + self.unsure + self._under_way + more <= self.limit

    def worst(self, question: str) -> float:
        """The most that one draw can cost; 0 where the price is unknown."""
        asked = self.prompt.replace("{question}", question).encode()
        return self.price.of(len(asked) + CHAT_TOKENS, self.max_tokens) if self.price is not None else 0.0

    def reserve(self, problem_id: str, numbers: Iterable[int], question: str) -> None:
        """Count draws that are under way whether they fit under the limit or not."""
        for number in numbers:
            self._release((problem_id, number))
            self._reserved[problem_id, number] = self.worst(question)
            self._under_way += self._reserved[problem_id, number]

    def keep_reserved(self, draws: Set[tuple[str, int]]) -> None:
        """Nothing but these draws is under way any more."""
        for draw in self._reserved.keys() - draws:
            self._release(draw)

    def pay(self, problem_id: str, number: int, question: str, usage: Usage) -> None:
        """Count a draw that has arrived."""
        self._release((problem_id, number))
        self.lose(question, 1, usage)

    def lose(self, question: str, draws: int, usage: Usage) -> None:
        """Count a reply to a request for so many draws, by its usage, or at its worst where that is unknown."""
        if self.price is not None and usage is not None:
            self.spent += self.price.of(*usage)
        else:
            self.unsure += draws * self.worst(question)

    def settle(self) -> None:
        """Nothing is under way any more."""
        self._reserved.clear()
        self._under_way = 0.0

    def _release(self, draw: tuple[str, int]) -> None:
        self._under_way -= self._reserved.pop(draw, 0.0)

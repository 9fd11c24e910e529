"""Splitting a chain's text into steps, with the tokens of each step and their probabilities."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsad_cli.types import Chain

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\\$(])")


@dataclass(frozen=True, slots=True)
class Token:
    """A token's span in the chain's text, and its probability."""

    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the text, or a sentence of a text with one line; `probability` is the geometric mean of its tokens'."""

    start: int
    end: int
    probability: float | None
    tokens: tuple[Token, ...]
    """The tokens that end in the step; the first may begin before it."""


def chain_steps(chain: Chain) -> list[Step]:
    """Return a chain's non-blank lines, or its sentences if there is only one line."""
    pieces = _spans(chain.text, re.compile(r"\n+"))
    if len(pieces) == 1:
        pieces = _spans(chain.text, _SENTENCE)
    tokens, start = [], 0
    for end, logprob in zip(chain.offsets, chain.logprobs, strict=False):
        tokens.append((Token(start, end, math.exp(min(logprob, 0.0))), logprob))
        start = max(start, end)
    found, place = [], 0
    for first, last in pieces:
        own = []
        while place < len(tokens) and tokens[place][0].end <= last:
            if tokens[place][0].end > first:
                own.append(tokens[place])
            place += 1
        mean = sum(logprob for _, logprob in own) / len(own) if own else None
        found.append(Step(first, last, None if mean is None else math.exp(mean), tuple(token for token, _ in own)))
    return found


def _spans(text: str, between: re.Pattern[str]) -> list[tuple[int, int]]:
    """Spans of the non-blank pieces of a text."""
    marks = [0, *(place for found in between.finditer(text) for place in found.span()), len(text)]
    spans = zip(marks[::2], marks[1::2], strict=True)
    return [(start, end) for start, end in spans if text[start:end].strip()]

"""The value of a formula: exact where it is rational.

Letters stand for fixed rational points, so two formulas that differ at one of them are different functions, and two
rational ones that agree at both are equal (Schwartz and Zippel's lemma: by chance once in a million million).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from nsad_cli.answers.formula import Number, Reader, UnclearError, is_letter, tokens_of
from nsad_cli.answers.spelling import CACHE, LONGEST

POINTS = 2
_EQUAL, _CLOSE = 1e-13, 1e-9
"""Relative to the largest number on the way: what is equal, and what floating point might not tell apart."""
_DECIMAL = re.compile(r"[-+]?\d+\.(\d+)", re.ASCII)
_PLAIN = r"\d+(?:\.\d*)?"
_MIXED = re.compile(r"([-+]?)(?:(\d+)&?)?(?:\\frac\{(\d+)\}\{(\d+)\}|(?<!\d)(\d+)/(\d+))", re.ASCII)
_PERIODIC = re.compile(r"([-+]?)(\d*)\.(\d*)\\overline\{(\d+)\}", re.ASCII)
_RATIO = re.compile(rf"\\frac\{{(-?{_PLAIN})\}}\{{(-?{_PLAIN})\}}|(-?{_PLAIN})/(-?{_PLAIN})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Value:
    """A formula's numbers at the points of its letters (one where it has none), the largest
    number on the way, and whether decimals, perhaps rounded ones, stand in it."""

    points: tuple[Number, ...]
    letters: frozenset[str]
    size: float
    decimal: bool

    @property
    def exact(self) -> bool:
        """Whether every number is a fraction."""
        return all(isinstance(point, Fraction) for point in self.points)


def number(text: str) -> Fraction | None:
    """The exact value of a normalised plain number, fraction or mixed number; None for anything else."""
    if len(text) > 60:
        return None
    if match := _MIXED.fullmatch(text):
        top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
        if bottom == 0:
            return None
        value = int(match[2] or 0) + Fraction(top, bottom)
        return -value if match[1] == "-" else value
    if match := _PERIODIC.fullmatch(text):
        whole, start, period = match[2] or "0", match[3], match[4]
        value = (int(whole + start + period) - int(whole + start)) / Fraction(
            10 ** len(start) * (10 ** len(period) - 1)
        )
        return -value if match[1] == "-" else value
    if match := _RATIO.fullmatch(text):
        top_text, bottom_text = match[1] or match[3], match[2] or match[4]
        return Fraction(top_text) / Fraction(bottom_text) if Fraction(bottom_text) else None
    return Fraction(text) if re.fullmatch(rf"[-+]?{_PLAIN}", text, re.ASCII) else None


@lru_cache(CACHE)
def value_of(text: str) -> Value | None:
    """The value of a normalised formula; None where it is none, or where a reader could take it in two ways."""
    plain = number(text)
    if plain is not None:
        return Value((plain,), frozenset(), 0.0, "." in text)
    if len(text) > LONGEST or re.search(r"[(\[][^{}]*\d,\d{3}", text):
        return None  # (6,235): two numbers, or one
    tokens = tokens_of(text)
    if tokens is None:
        return None
    letters = frozenset(token for token in tokens if is_letter(token)) - {"i", "e"}
    points, size = [], 0.0
    try:
        for point in range(POINTS if letters else 1):
            reader = Reader(tokens, point)
            points.append(reader.whole())
            size = max(size, reader.size)
    except (UnclearError, ArithmeticError, ValueError):
        return None
    return Value(tuple(points), letters, size, any("." in token for token in tokens))


def same(x: Value, y: Value) -> bool | None:
    """True: equal; False: different; None: too close to tell in floating point.

    Irrational formulas without decimals that agree in 13 digits are equal: such short ones do not come that close.
    """
    pairs = list(zip(x.points * POINTS, y.points * POINTS, strict=False))[: max(len(x.points), len(y.points))]
    if x.exact and y.exact:
        return all(p == q for p, q in pairs)
    try:
        numbers = [(complex(p), complex(q)) for p, q in pairs]
    except OverflowError:
        return None
    apart = max(abs(p - q) for p, q in numbers)
    size = max(x.size, y.size, *(max(abs(p), abs(q)) for p, q in numbers))
    if apart <= _EQUAL * size and not (x.decimal or y.decimal) and all(abs(p) > 1e-6 * size for p, _ in numbers):
        return True
    return None if apart <= _CLOSE * size else False


def may_be_rounded(a: str, b: str, p: Fraction | float, q: Fraction | float) -> bool:
    """Whether one of two normalised constants, a decimal fraction, is the other one rounded or cut to its places."""
    for text, mine, other in ((a, p, q), (b, q, p)):
        match = _DECIMAL.fullmatch(text)
        if match:
            apart = abs(float(mine) - float(other)) * 10 ** len(match[1])
            if apart <= 0.5 + 1e-9 or (len(match[1]) > 1 and apart < 1 - 1e-9):
                return True
    return False

"""Evaluation of formulas, exact if they are rational.

Letters are replaced by fixed rational points. Two formulas that differ at one of them are different functions, and two
rational ones that agree at both are equal (Schwartz–Zippel lemma; the error probability is about 1e-12). Formulas with
roots of letters must also agree at negative points: the root of x^2 equals x for some x only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nsad_cli.grading.equivalence.formula_arithmetic import POINTS, POSITIVE_POINTS, UnclearError
from nsad_cli.grading.equivalence.formula_parser import FormulaParser, MeasuringParser
from nsad_cli.grading.equivalence.formula_tokens import is_letter, tokens_of
from nsad_cli.grading.equivalence.normalise import CACHE_SIZE, MAX_FORMULA_CHARS
from nsad_cli.grading.equivalence.number_arithmetic import Number, precise

if TYPE_CHECKING:
    from collections.abc import Sequence

_EQUAL, _CLOSE = 1e-13, 1e-9
"""Tolerances relative to the largest intermediate number: equal, and not distinguishable in floating point."""
DIGITS, MAX_DIGITS = 50, 6_000
"""Digits that confirm an equality, beyond the span of the numbers in it, and the largest number of digits."""
_DECIMAL = re.compile(r"[-+]?\d+\.(\d+)(?:(?:[eE]|(?:\\times|\\cdot|\*)10\^\{?)([-+]?\d{1,3})\}?)?", re.ASCII)
_PLAIN = r"\d+(?:\.\d*)?"
_DIGIT = re.compile(r"\d", re.ASCII)
_NUMBER = re.compile(rf"[-+]?{_PLAIN}", re.ASCII)
_MIXED = re.compile(r"([-+]?)(?:(\d+)&?)?(?:\\frac\{(\d+)\}\{(\d+)\}|(?<!\d)(\d+)/(\d+))", re.ASCII)
_POWERED = re.compile(rf"([-+]?{_PLAIN})[eE]([-+]?\d{{1,3}})", re.ASCII)
_POWER = re.compile(r"\d[eE][-+]?\d", re.ASCII)
_PERIODIC = re.compile(r"([-+]?)(\d*)\.(\d*)\\overline\{(\d+)\}", re.ASCII)
_RATIO = re.compile(rf"\\frac\{{(-?{_PLAIN})\}}\{{(-?{_PLAIN})\}}|(-?{_PLAIN})/(-?{_PLAIN})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a formula.

    Attributes:
        points: The numbers at each point of the letters; one number if there are none.
        letters: The letters.
        size: The largest intermediate number.
        decimal: Whether the formula contains decimals, which may be rounded.
        tokens: The tokens that the value was computed from.
    """

    points: tuple[Number, ...]
    letters: frozenset[str]
    size: float
    decimal: bool
    tokens: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every number is a fraction."""
        return all(isinstance(point, Fraction) for point in self.points)


@lru_cache(CACHE_SIZE)
def number(text: str) -> Fraction | None:
    """Parse a normalised plain number, fraction or mixed number exactly; None for anything else."""
    if len(text) > 60 or not _DIGIT.search(text):
        return None
    if _NUMBER.fullmatch(text):
        return Fraction(text) if "." in text else Fraction(int(text))
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
    if match := _POWERED.fullmatch(text):  # 1.2e3
        return Fraction(match[1]) * Fraction(10) ** int(match[2])
    return None


@lru_cache(CACHE_SIZE)
def value_of(text: str) -> Value | None:
    """Evaluate a normalised formula; None if it is not a formula, or if it is ambiguous."""
    plain = number(text)
    if plain is not None:
        return Value((plain,), frozenset(), 0.0, "." in text)
    if len(text) > MAX_FORMULA_CHARS or re.search(r"[(\[][^{}]*\d,\d{3}", text) or _POWER.search(text):
        return None  # (6,235): two numbers, or one; 2e3x
    tokens = tokens_of(text)
    if tokens is None:
        return None
    letters = frozenset(token for token in tokens if is_letter(token)) - {"i", "e"}
    read = [_read(tokens, point) for point in range(POSITIVE_POINTS if letters else 1)]
    points = [value for value, _ in read if value is not None]
    if len(points) < len(read):
        return None
    decimal = any("." in token for token in tokens)
    return Value(tuple(points), letters, max(size for _, size in read), decimal, tuple(tokens))


def _read(tokens: Sequence[str], point: int) -> tuple[Number | None, float]:
    reader = FormulaParser(tokens, point)
    try:
        return reader.parse(), reader.size
    except (UnclearError, ArithmeticError, ValueError):
        return None, 0.0


def same(x: Value, y: Value) -> bool | None:
    """Compare two values.

    Irrational formulas without decimals that agree in 13 digits are evaluated again at 50 digits.

    Returns:
        True if equal, False if different; None if too close for floating point, or equal for positive letters only.
    """
    pairs = list(zip(x.points * POSITIVE_POINTS, y.points * POSITIVE_POINTS, strict=False))
    above = _same(x, y, pairs[: max(len(x.points), len(y.points))])
    if not above or not (_rooted(x) or _rooted(y)):
        return above
    others = [(p, q) for p, q in zip(_below(x), _below(y), strict=True) if p is not None and q is not None]
    return True if not others or _same(x, y, others) else None


def _rooted(value: Value) -> bool:
    return bool(value.letters) and any(
        token == "\\sqrt" or (token == "^" and not after.isalnum()) for token, after in pairwise(value.tokens)
    )


def _below(value: Value) -> list[Number | None]:
    """A formula's numbers at negative points of its letters; None where it is undefined."""
    if not value.letters:
        return [value.points[0]] * (POINTS - POSITIVE_POINTS)
    return [_read(value.tokens, point)[0] for point in range(POSITIVE_POINTS, POINTS)]


def _same(x: Value, y: Value, pairs: list[tuple[Number, Number]]) -> bool | None:
    if x.exact and y.exact:
        return all(p == q for p, q in pairs)
    try:
        numbers = [(complex(p), complex(q)) for p, q in pairs]
    except OverflowError:
        return None
    apart = max(abs(p - q) for p, q in numbers)
    size = max(x.size, y.size, *(max(abs(p), abs(q)) for p, q in numbers))
    if apart <= _EQUAL * size and not (x.decimal or y.decimal) and all(abs(p) > 1e-6 * size for p, _ in numbers):
        return _agree(x, y)
    return None if apart <= _CLOSE * size else False


def _agree(x: Value, y: Value) -> bool | None:
    """Whether two formulas agree at 50 digits beyond the span of the numbers in them; None if that is too many."""
    for point in range(max(len(x.points), len(y.points))):
        spans = [_precise(value, point, DIGITS)[1] for value in (x, y)]
        exponents = frozenset[int]().union(*spans)
        span = max(exponents, default=0) - min(exponents, default=0)
        digits, compared = DIGITS + span, DIGITS - 10 + span // 2  # a bit is less than a third of a digit
        if digits > MAX_DIGITS:
            return None
        p, q = (_precise(value, point, digits)[0] for value in (x, y))
        if abs(p - q) > max(abs(p), abs(q)) * precise(digits).of(Fraction(1, 10**compared)).real:
            return False
    return True


def _precise(value: Value, point: int, digits: int) -> tuple[Any, frozenset[int]]:
    """A formula's number at a point with many digits, and the binary exponents of the numbers in it."""
    arithmetic = precise(digits)
    if not value.tokens:
        return arithmetic.of(value.points[0]), frozenset()
    reader = MeasuringParser(value.tokens, point, arithmetic)
    return arithmetic.of(reader.parse()), frozenset(reader.exponents)


def may_be_rounded(a: str, b: str, p: Fraction | float, q: Fraction | float) -> bool:
    """Whether one of two normalised constants is a decimal that the other one rounds or truncates to."""
    for text, mine, other in ((a, p, q), (b, q, p)):
        match = _DECIMAL.fullmatch(text)
        if match and len(match[1]) < 300:
            apart = abs(float(mine) - float(other)) * 10.0 ** (len(match[1]) - int(match[2] or 0))
            cut = len(match[1]) > 1 and apart < 1 - 1e-9 and abs(float(mine)) < abs(float(other))
            if apart <= 0.5 + 1e-9 or cut:
                return True
    return False

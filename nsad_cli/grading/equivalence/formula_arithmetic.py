"""Arithmetic of formulas: exact for rational numbers, number_arithmetic.py otherwise, with bounds on both.

Every function raises UnclearError for an operation that is out of bounds or has several values.
"""

from __future__ import annotations

import math
import random
import re
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.formula_tokens import (
    INVERSE_TRIGONOMETRIC,
    PI_TOKENS,
    TRIGONOMETRIC,
    is_letter,
    may_be_negative,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.grading.equivalence.number_arithmetic import Floating, Number

MAX_BITS = 8192
"""Longer integers are left to the second checker."""
MAX_DEGREE = 100
"""Exclusive limit on the degree of a root."""
MAX_COMBINATORIAL = 200
"""Largest argument of a factorial or binomial coefficient."""
POSITIVE_POINTS, POINTS = 2, 17
"""Points at which formulas with letters are evaluated: at the first ones all letters are positive."""


class UnclearError(Exception):
    """Not a formula, or one that a reader could understand in two ways."""


def bits(value: Fraction) -> int:
    """The length of the longer of numerator and denominator."""
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def raised(base: Number, exponent: Number, base_tokens: Sequence[str], arithmetic: Floating) -> Number:
    """Raise a base to an exponent.

    Args:
        base: The base's value.
        exponent: The exponent's value.
        base_tokens: The tokens of the base: with letters of unknown sign only integer exponents are read.
        arithmetic: The arithmetic of irrational numbers.
    """
    if isinstance(exponent, Fraction) and exponent.denominator < MAX_DEGREE:
        if isinstance(base, Fraction) and bits(base) * abs(exponent.numerator) > MAX_BITS:
            raise UnclearError
        if exponent.denominator == 1:
            return base ** int(exponent)
    known = arithmetic.of(base)
    if may_be_negative(base_tokens) or known.imag or known.real <= 0:
        raise UnclearError  # a branch, or a sign that only the problem determines
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator < MAX_DEGREE:
        return root(base**exponent.numerator, exponent.denominator, arithmetic)
    return arithmetic.power(base, exponent)


def factorial(value: Number) -> Number:
    """Compute the factorial of a whole number."""
    if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= MAX_COMBINATORIAL:
        raise UnclearError
    return Fraction(math.factorial(int(value)))


def binomial(n: Number, k: Number) -> Number:
    """Compute a binomial coefficient of whole numbers."""
    if not (isinstance(n, Fraction) and isinstance(k, Fraction) and n.denominator == k.denominator == 1):
        raise UnclearError
    if not 0 <= k <= n <= MAX_COMBINATORIAL:
        raise UnclearError
    return Fraction(math.comb(int(n), int(k)))


def root(value: Number, degree: int, arithmetic: Floating) -> Number:
    """Compute a root, exact if it is rational; of a negative number the real one (odd degree) or i√|x| (square)."""
    if not 1 < degree < MAX_DEGREE:
        raise UnclearError
    if not isinstance(value, Fraction):
        if value.imag or value.real < 0:
            raise UnclearError
        return arithmetic.root(value, degree)
    if value < 0:
        positive = root(-value, degree, arithmetic)
        if degree == 2:
            return arithmetic.of(positive) * 1j
        if degree % 2:
            return -positive
        raise UnclearError
    approximate = float(value) ** (1 / degree)
    near = Fraction(approximate).limit_denominator(value.denominator)
    return near if near**degree == value else arithmetic.root(value, degree)


def function_value(name: str, value: Number, argument: Sequence[str], arithmetic: Floating) -> complex:
    """Apply a trigonometric function, its inverse, or a logarithm.

    Args:
        name: The function's token.
        value: The argument's value; angles are in radians.
        argument: The argument's tokens: an angle must show its unit by °, π or a letter.
        arithmetic: The arithmetic of irrational numbers.
    """
    z = arithmetic.of(value)
    has_letters = any(is_letter(token) for token in argument)
    if name in TRIGONOMETRIC:
        if not (has_letters or "°" in argument or any(token in PI_TOKENS for token in argument)):
            raise UnclearError  # degrees or radians
        return arithmetic.functions[name](z)
    if name in INVERSE_TRIGONOMETRIC:
        if z.imag or (name != "\\arctan" and (has_letters or abs(z) > 1)):
            raise UnclearError
        return arithmetic.functions[name](z)
    if z.imag or z.real <= 0 or may_be_negative(argument):
        raise UnclearError
    return arithmetic.log(z, None if name == "\\ln" else int(re.sub(r"\D", "", name)))


@lru_cache(1024)
def letter_value(name: str, point: int) -> Fraction:
    """The value of a letter at a point, the same in every process: of size 1 to 2, at later points partly negative.

    For any two letters there is a point for every pair of signs.
    """
    size = Fraction(random.Random(f"{name} {point}").randint(10**6, 2 * 10**6), 10**6 + 3)
    bit = point - POSITIVE_POINTS
    pattern = sum(map(ord, name)) if bit <= 7 else ~sum(map(ord, name))
    return -size if bit == 0 or (bit > 0 and pattern >> ((bit - 1) % 7) & 1) else size

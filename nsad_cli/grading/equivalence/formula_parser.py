r"""Reading a formula: numbers, + - * / ^ !, \frac, \sqrt, \pi, trigonometric functions, logarithms and letters.

Exact where the value is rational. What a reader could take in two ways (1/2x, x^12) is not read at all.
"""

from __future__ import annotations

import cmath
import math
import random
import re
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Number = Fraction | complex
BITS = 8192
"""Longer integers are left to the second checker."""
DEEPEST = 30
ABOVE_ZERO, POINTS = 2, 17
"""Points of the letters: at the first ones all are above zero, at the others not."""
_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d*)?"
    r"|\\(?:frac|sqrt|binom|pi|cdot|times|div|(?:arc)?(?:sin|cos|tan)|cis|cot|sec|csc|ln)(?![a-zA-Z])|\\log_(?:\d|\{\d+\})"
    r"|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega|sigma|tau|rho)(?![a-zA-Z])"
    r"|pi(?![a-zA-Z])|[a-zA-Z](?:_(?:[a-zA-Z0-9]|\{[a-zA-Z0-9]+\}))?|\\[{}]|[-+*/^!(){}\[\]|π·×°]",
    re.ASCII,
)
_WORDS = re.compile(
    r"(?<![\\a-zA-Z])[a-zA-Z]{3,}|(?<![\\a-zA-Z])(?:[ckm]m|[km]g|ml|mL|ft|in|mi|hr|oz|lb|am|pm|or|if|is|no|of|to|at|by(?=\d))(?![a-zA-Z])"
)
_GREEK = frozenset(
    f"\\{name}"
    for name in (
        *("alpha", "beta", "gamma", "delta", "theta", "lambda"),
        *("mu", "phi", "omega", "sigma", "tau", "rho"),
    )
)
_PI = ("\\pi", "π", "pi")
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "\\sin": cmath.sin,
    "\\cos": cmath.cos,
    "\\tan": cmath.tan,
    "\\cot": lambda angle: 1 / cmath.tan(angle),
    "\\sec": lambda angle: 1 / cmath.cos(angle),
    "\\csc": lambda angle: 1 / cmath.sin(angle),
    "\\cis": lambda angle: cmath.exp(1j * angle),
}
_INVERSE: dict[str, Callable[[complex], complex]] = {
    "\\arcsin": cmath.asin,
    "\\arccos": cmath.acos,
    "\\arctan": cmath.atan,
}
_NAMED = (*_FUNCTIONS, *_INVERSE, "\\ln")


_BEGINS = ("\\frac", "\\sqrt", "\\binom", "\\pi")


class UnclearError(Exception):
    """No formula, or one that a reader could take in two ways."""


def tokens_of(text: str) -> list[str] | None:
    """A normalised formula's tokens; None where something else stands in it."""
    if _WORDS.search(text):
        return None
    tokens = _TOKEN.findall(text.replace("{}", " "))
    return tokens if tokens and "".join(tokens) == text.replace("{}", "") else None


def is_letter(token: str) -> bool:
    r"""Whether a token is a letter that stands for a number: x, x_1, \theta; i and e too."""
    return (token[0].isalpha() and token not in _PI) or token in _GREEK


class FormulaParser:
    """Recursive descent over tokens that computes as it reads; `size` bounds what rounding errors are relative to.

    Raises UnclearError, ArithmeticError or ValueError where there is no one value.
    """

    def __init__(self, tokens: Sequence[str], point: int) -> None:
        self.tokens, self.point, self.below_zero = list(tokens), point, point >= ABOVE_ZERO
        self.at, self.depth, self.size = 0, 0, 0.0

    def whole(self) -> Number:
        value = self.sum()
        if self.at < len(self.tokens):
            raise UnclearError
        return value

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise UnclearError
        self.at += 1
        return token

    def kept(self, value: Number) -> Number:
        """A sum or product within bounds, noted for the size."""
        if isinstance(value, Fraction):
            if max(value.numerator.bit_length(), value.denominator.bit_length()) > BITS:
                raise UnclearError
        elif not cmath.isfinite(value):
            raise UnclearError
        else:
            self.size = max(self.size, abs(value))
        return value

    def sum(self) -> Number:
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnclearError
        value = self.product()
        while self.peek() in ("+", "-"):
            sign = self.take()
            other = self.product()
            if not (isinstance(value, Fraction) and isinstance(other, Fraction)):
                self.size = max(self.size, abs(complex(value)), abs(complex(other)))
            value = self.kept(value + other if sign == "+" else value - other)
        self.depth -= 1
        return value

    def product(self) -> Number:
        if self.peek() in ("-", "+"):
            sign = self.take()
            return self.product() * (-1 if sign == "-" else 1)
        value, divided = self.power(), False
        while True:
            token = self.peek()
            if token in ("*", "\\cdot", "\\times", "·", "×"):
                self.take()
                value, divided = self.kept(value * self.signed()), False
            elif token in ("/", "\\div"):
                if divided:
                    raise UnclearError
                self.take()
                value, divided = value / self.signed(), True
            elif self.starts(token):
                if divided or (token[0].isdigit() and self.tokens[self.at - 1][0].isdigit()):  # 1/2x, 2 3
                    raise UnclearError
                value = self.kept(value * self.power())
            else:
                return value

    def starts(self, token: str) -> bool:
        """Whether a token begins a factor, so that a product needs no sign before it."""
        if not token:
            return False
        return token[0].isalnum() or token[0] in "({π" or token in _GREEK or token in _BEGINS or self.names(token)

    def names(self, token: str) -> bool:
        """Whether a token is a function's name."""
        return token in _NAMED or token.startswith("\\log_")

    def signed(self) -> Number:
        if self.peek() == "-":
            self.take()
            return -self.power()
        return self.power()

    def power(self) -> Number:
        if self.names(self.peek()):
            return self.function()
        start = self.at
        base = self.base()
        lettered = self.has_sign_of_letters(start)
        if self.peek() == "!":
            self.take()
            base = self.factorial(base)
        if self.peek() == "°":
            self.take()
            return complex(base) * math.pi / 180
        if self.peek() == "^":
            self.take()
            exponent = self.exponent()
            base = self.kept(self.raised(base, exponent, lettered))
            if self.peek() in ("^", "!"):
                raise UnclearError
        return base

    def exponent(self) -> Number:
        if self.peek() == "-":
            self.take()
            return -self.exponent()
        token = self.peek()
        if token[:1].isdigit() and (len(token) > 1 or self.tokens[self.at + 1 : self.at + 2] == ["&"]):
            raise UnclearError  # x^12: in LaTeX x^1 2
        return self.base()

    def raised(self, base: Number, exponent: Number, lettered: bool) -> Number:
        if isinstance(exponent, Fraction) and exponent.denominator < 100:
            if isinstance(base, Fraction):
                bits = max(base.numerator.bit_length(), base.denominator.bit_length())
                if bits * abs(exponent.numerator) > BITS:
                    raise UnclearError
            if exponent.denominator == 1:
                return base ** int(exponent)
        if lettered or complex(base).imag or complex(base).real <= 0:
            raise UnclearError  # a branch, or a sign that only the problem knows
        if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator < 100:
            return self.root(base**exponent.numerator, exponent.denominator)
        return complex(base) ** complex(exponent)

    def factorial(self, value: Number) -> Number:
        if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= 200:
            raise UnclearError
        return Fraction(math.factorial(int(value)))

    def binomial(self, n: Number, k: Number) -> Number:
        if not (isinstance(n, Fraction) and isinstance(k, Fraction) and n.denominator == k.denominator == 1):
            raise UnclearError
        if not 0 <= k <= n <= 200:
            raise UnclearError
        return Fraction(math.comb(int(n), int(k)))

    def root(self, value: Number, degree: int) -> Number:
        """Exact where the root is rational; the real one of odd degree, i times the root below zero for a square."""
        if not 1 < degree < 100:
            raise UnclearError
        if not isinstance(value, Fraction):
            if value.imag or value.real < 0:
                raise UnclearError
            return complex(value.real ** (1 / degree))
        if value < 0:
            rooted = self.root(-value, degree)
            if degree == 2:
                return complex(rooted) * 1j
            if degree % 2:
                return -rooted
            raise UnclearError
        rooted = float(value) ** (1 / degree)
        near = Fraction(rooted).limit_denominator(value.denominator)
        return near if near**degree == value else complex(rooted)

    def base(self) -> Number:
        token = self.take()
        if token[0].isdigit():
            return self.numeral(token)
        if token in _PI:
            return complex(math.pi)
        if token == "i":
            return 1j
        if token == "e":
            return complex(math.e)
        if is_letter(token):
            return _letter(token, self.point)
        if token == "\\frac":
            top = self.group()
            return self.kept(top / self.group())
        if token == "\\sqrt":
            return self.radical()
        if token == "\\binom":
            return self.binomial(self.group(), self.group())
        if token == "|":
            start = self.at
            value = self.sum()
            if any(is_letter(read) for read in self.tokens[start : self.at]):
                raise UnclearError  # points prove little where a sign is cut off
            self.take("|")
            return abs(value) if isinstance(value, Fraction) else complex(abs(value))
        closing = {"(": ")", "{": "}", "\\{": "\\}"}.get(token)
        if closing is None:
            raise UnclearError
        value = self.sum()
        self.take(closing)
        return value

    def numeral(self, token: str) -> Number:
        value = Fraction(token.replace(",", "").rstrip("."))
        mixed = self.tokens[self.at : self.at + 7]
        fraction = mixed[:2] == ["\\frac", "{"] and mixed[3:5] == ["}", "{"] and mixed[6:] == ["}"]
        if fraction and mixed[2].isdecimal() and mixed[5].isdecimal() and token.isdecimal():  # 1\frac{1}{2} is 3/2
            self.at += 7
            return value + Fraction(int(mixed[2]), int(mixed[5]))
        return value

    def radical(self) -> Number:
        degree = 2
        if self.peek() == "[":
            self.take()
            token = self.take()
            if not token.isdecimal() or len(token) > 2:
                raise UnclearError
            degree = int(token)
            self.take("]")
        start = self.at
        inner = self.group()
        if self.has_sign_of_letters(start):
            raise UnclearError
        if self.below_zero and isinstance(inner, Fraction) and inner < 0 and degree % 2 == 0:
            raise UnclearError  # the letters are such that this does not come up
        return self.root(inner, degree)

    def has_sign_of_letters(self, start: int) -> bool:
        """Whether what was read since may be below zero for letters above zero: those between 1 and 2 are not all."""
        read = self.tokens[start : self.at]
        return any(is_letter(token) for token in read) and ("-" in read or "i" in read)

    def function(self) -> Number:
        r"""\\sin 2x, \\sin^2 x, \\sin(x + y): the argument ends at a sign or another function."""
        name, power = self.take(), 1
        if self.peek() == "^":
            self.take()
            token = self.take()
            if token not in ("2", "3", "4"):
                raise UnclearError
            power = int(token)
        start, closed = self.at, self.peek() in ("(", "{")
        value = self.power()
        while not closed and self.starts(self.peek()) and self.peek() != "(" and not self.names(self.peek()):
            value = self.kept(value * self.power())
        after = self.peek()
        if after in ("/", "(", "^", "!") or (closed and self.starts(after) and not self.names(after)):
            raise UnclearError
        return self.kept(self.applied(name, value, start) ** power)

    def applied(self, name: str, value: Number, start: int) -> complex:
        """A function's value; angles in radians, or in degrees where the sign says so."""
        read, z = self.tokens[start : self.at], complex(value)
        lettered = any(is_letter(token) for token in read)
        if name in _FUNCTIONS:
            if not (lettered or "°" in read or any(token in _PI for token in read)):
                raise UnclearError  # degrees, or radians
            return _FUNCTIONS[name](z)
        if name in _INVERSE:
            if z.imag or (name != "\\arctan" and (lettered or abs(z) > 1)):
                raise UnclearError
            return _INVERSE[name](z)
        if z.imag or z.real <= 0 or self.has_sign_of_letters(start):
            raise UnclearError
        base = math.e if name == "\\ln" else float(re.sub(r"\D", "", name))
        return complex(math.log(z.real) / math.log(base))

    def group(self) -> Number:
        self.take("{")
        value = self.sum()
        self.take("}")
        return value


@lru_cache(1024)
def _letter(name: str, point: int) -> Fraction:
    """A letter's value at a point, the same in every process: between 1 and 2, at later points some or all negative.

    Any two letters have every pair of signs at some point.
    """
    size = Fraction(random.Random(f"{name} {point}").randint(10**6, 2 * 10**6), 10**6 + 3)
    bit = point - ABOVE_ZERO
    pattern = sum(map(ord, name)) if bit <= 7 else ~sum(map(ord, name))
    return -size if bit == 0 or (bit > 0 and pattern >> ((bit - 1) % 7) & 1) else size
